"""Tiles are drawn at their places in the colour of their reason, with a legend that counts them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from miso.maps.plot_tiles import ALPHA, REASON_COLOURS, draw_tiles, plot_tiles
from miso.slides import Slide
from miso.slides.quality import REASONS

Save = Callable[..., Slide]


def test_a_tile_has_the_colour_of_its_reason_at_its_place(save: Save, tmp_path: Path) -> None:
    slide = save(np.full((600, 800, 3), 255, dtype=np.uint8))
    corners = np.array([[0.0, 0], [200, 200], [400, 400]])
    plot_tiles(slide, corners, 200.0, ["tissue", "pen", "blur"], tmp_path / "p.png")
    box = draw_tiles(slide, corners, 200.0, ["tissue", "pen", "blur"]).axes[1].get_position()
    with Image.open(tmp_path / "p.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    for (x, y), reason in zip(corners + 50, ("tissue", "pen", "blur"), strict=True):
        row = round((1 - box.y1 + box.height * y / 600) * height)
        col = round((box.x0 + box.width * x / 800) * width)
        wanted = 255 * (ALPHA * np.array(to_rgb(REASON_COLOURS[reason])) + 1 - ALPHA)
        np.testing.assert_allclose(pixels[row, col], wanted, atol=3)


def test_the_legend_counts_the_reasons_that_are_there(save: Save) -> None:
    slide = save(np.full((600, 800, 3), 255, dtype=np.uint8))
    figure = draw_tiles(slide, np.zeros((3, 2)), 100.0, ["pen", "tissue", "pen"])
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["tissue 1", "pen 2"]


def test_every_reason_has_a_colour_of_its_own() -> None:
    assert tuple(REASON_COLOURS) == REASONS
    assert len(set(REASON_COLOURS.values())) == len(REASONS)

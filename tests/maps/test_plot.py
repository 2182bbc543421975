"""Pictures put things where they are: checked on the pixels of the files that are written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from miso.encoders.encoder import Encoder
from miso.maps import ExpressionMap
from miso.maps.canvas import color_limits, grey, round_length, save
from miso.maps.plot import draw_map, draw_spots, plot_alignment, plot_map, plot_spots
from miso.maps.super_resolve import super_resolve
from miso.maps.thumbnail import Thumbnail

Pixels = NDArray[np.int64]
WHITE = np.full((600, 800, 3), 255, np.uint8)


def read(picture: Path) -> Pixels:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB")).astype(np.int64)


def panel(figure: Figure, image: Path, index: int) -> Pixels:
    """Cut a panel out of a picture."""
    pixels = read(image)
    box = figure.axes[index].get_position()
    height, width = pixels.shape[:2]
    rows = slice(round((1 - box.y1) * height), round((1 - box.y0) * height))
    return pixels[rows, round(box.x0 * width) : round(box.x1 * width)]


def bounds(mask: NDArray[np.bool_]) -> Pixels:
    """(left, top, right, bottom) of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize(("row", "col"), [(0, 0), (20, 45), (36, 49), (11, 3)])
def test_a_hot_cell_lies_on_its_dark_square(
    save: Callable[..., object],
    encoder: Encoder,
    model_for: Callable[..., object],
    tmp_path: Path,
    row: int,
    col: int,
) -> None:
    image = np.full((640, 820, 3), 255, np.uint8)
    image[row * 16 : row * 16 + 16, col * 16 : col * 16 + 16] = (0, 0, 140)
    made = super_resolve(
        save(image), encoder, model_for((820, 640)), tmp_path / "m", tissue="all", seams="none"
    )
    plot_map(made, "BLUE", tmp_path / "p.png", limits=(140, 255), alpha=1.0)
    figure = draw_map(made, "BLUE", limits=(140, 255), alpha=1.0)
    bare, mapped = panel(figure, tmp_path / "p.png", 0), panel(figure, tmp_path / "p.png", 1)
    assert bare.shape == mapped.shape
    square = bounds((bare[..., 2] - bare[..., 0] > 70) & (bare[..., 1] < 128))
    cell = bounds(
        (mapped[..., 0] < 110) & (mapped[..., 1] < 60) & (mapped[..., 2] > 60)
    )  # the low end of viridis
    scale = bare.shape[1] / 820
    np.testing.assert_allclose(square, np.array([col, row, col + 1, row + 1]) * 16 * scale, atol=2)
    np.testing.assert_allclose(cell, square, atol=2)


def test_unseen_cells_show_the_slide_in_grey(map_of: Callable[..., ExpressionMap], tmp_path: Path) -> None:
    plane = np.full((30, 40), np.nan, np.float32)
    plane[:, :20] = 1
    slide = np.full((60, 80, 3), (200, 120, 180), np.uint8)
    made = map_of({"G": plane}, thumbnail=slide)
    plot_map(made, "G", tmp_path / "p.png")
    shown = panel(draw_map(made, "G"), tmp_path / "p.png", 1)
    height, width = shown.shape[:2]
    right = shown[height // 4, width * 3 // 4]
    assert right.tolist() == grey(Thumbnail(rgb=slide, slide_size_px=(640, 480))).rgb[0, 0].tolist()
    assert np.ptp(shown[height // 4, width // 4]) > 20


def test_a_map_without_values_is_drawn(map_of: Callable[..., ExpressionMap], tmp_path: Path) -> None:
    plot_map(map_of({"G": np.full((30, 40), np.nan, np.float32)}), "G", tmp_path / "sub" / "p.png")
    assert read(tmp_path / "sub" / "p.png").shape[1] > 1000


@pytest.mark.parametrize("size", [(10, 100), (100, 10), (3, 3)])
def test_slides_of_any_shape_are_drawn(
    map_of: Callable[..., ExpressionMap], tmp_path: Path, size: tuple[int, int]
) -> None:
    plot_map(map_of({"G": np.ones(size, np.float32)}), "G", tmp_path / "p.pdf")
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")


def test_a_spot_is_a_disc_of_its_true_size_at_its_place(tmp_path: Path) -> None:
    thumbnail = Thumbnail(rgb=WHITE, slide_size_px=(8000, 6000))
    centre = np.array([[2000.0, 1500.0], [6000.0, 1500.0]])
    values = {"measured": np.array([0, 1], np.float32), "predicted": np.array([np.nan, 1], np.float32)}
    drawing = {"mpp": 0.5, "units": "counts", "title": "KRT8", "percentiles": (0, 100)}
    plot_spots(centre, 800.0, values, thumbnail, tmp_path / "p.png", **drawing)
    figure = draw_spots(centre, 800.0, values, thumbnail, **drawing)
    measured, predicted = panel(figure, tmp_path / "p.png", 0), panel(figure, tmp_path / "p.png", 1)
    scale = measured.shape[1] / 8000
    yellow = (measured[..., 0] > 200) & (measured[..., 2] < 100)
    wanted = np.array([5600, 1100, 6400, 1900]) * scale
    np.testing.assert_allclose(bounds(yellow), wanted, atol=2)
    hollow = predicted[round(1500 * scale), round(2000 * scale)]
    assert hollow.min() == 255
    rim = predicted[round(1500 * scale), round(1600 * scale) - 2 : round(1600 * scale) + 3]
    assert rim.min() < 128


def test_outlines_of_spots_lie_where_the_spots_are(tmp_path: Path) -> None:
    thumbnail = Thumbnail(rgb=WHITE, slide_size_px=(8000, 6000))
    plot_alignment(np.array([[2000.0, 1500.0]]), 800.0, thumbnail, tmp_path / "p.png", mpp=0.5)
    pixels = read(tmp_path / "p.png")
    green = (pixels[..., 1] - pixels[..., 0] > 30) & (pixels[..., 2] < 100)
    left, top, right, bottom = bounds(green)
    assert right - left == pytest.approx(800 / 8000 * 1300, abs=4)
    assert bottom - top == pytest.approx(right - left, abs=2)


@pytest.mark.parametrize(
    ("longest", "shown"), [(1.0, 1), (1.99, 1), (450, 200), (999, 500), (2000, 2000), (0.7, 0.5)]
)
def test_scale_bars_have_round_lengths(longest: float, shown: float) -> None:
    assert round_length(longest) == pytest.approx(shown)


def test_limits_ignore_outliers_and_unseen_cells() -> None:
    values = np.concatenate([np.linspace(0, 1, 1000), [1e6, np.nan]]).astype(np.float32)
    low, high = color_limits(values)
    assert 0 < low < 0.02 < 0.98 < high <= 1
    assert color_limits(np.full(9, np.nan, np.float32)) == (0, 1)
    one_hot = np.zeros(1000, np.float32)
    one_hot[5] = 7
    assert color_limits(one_hot) == (0, 7)
    assert color_limits(np.full(9, 2, np.float32)) == (1.5, 2.5)


def test_a_picture_replaces_the_old_one_whole(tmp_path: Path) -> None:
    out = tmp_path / "p.png"
    out.write_text("old")
    save(Figure(), out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]


def test_another_name_ending_is_refused(tmp_path: Path) -> None:
    from miso.errors import MapError

    with pytest.raises(MapError, match=r"cannot draw 'p.docx'; a picture ends in .*png"):
        save(Figure(), tmp_path / "p.docx")

"""Maps side by side: cells at their places close up, shared colours, captions, spots, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from numpy.typing import NDArray

import miso
from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import Raster, TileSpec
from miso.maps import ExpressionMap, open_map
from miso.maps.canvas import MARKED
from miso.maps.cutout import box_about
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.layers import HATCH, Cells, hatching
from miso.maps.plot_maps import draw_maps
from miso.maps.regions import Region
from miso.maps.store import new_map
from miso.maps.super_resolve import super_resolve
from miso.maps.thumbnail import Box, Thumbnail
from miso.slides import Slide

Make = Callable[..., ExpressionMap]
Pixels = NDArray[np.int64]
Planes = dict[str, NDArray[np.float32]]
SIZE = (480, 320)  # px, so 30 × 20 cells of 16 px, or 8 µm
WHITE = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
HOT = np.zeros((20, 30), np.float32)
HOT[12, 7] = 1  # covers x 112 to 128, y 192 to 208


@pytest.fixture
def make(save: Callable[..., Slide], tmp_path: Path) -> Make:
    """Make a map of a white slide that is there, or of another picture."""

    def made(
        planes: Planes, name: str = "m", image: NDArray[np.uint8] = WHITE, **said: object
    ) -> ExpressionMap:
        slide = save(image, name=str(said.pop("slide", "slide.png")))
        std, novelty = said.pop("std", None), said.pop("novelty", None)
        values = np.stack(list(planes.values()))
        header = {
            "genes": tuple(planes),
            "units": "counts per spot",
            "pitch_um": slide.size_px[0] / values.shape[2] / 2,
            "raster": Raster.over(slide.size_px, slide.size_px[0] / values.shape[2]),
            "slide": SlideRecord.of(slide),
            "provenance": {"tile": {"size_px": 224}, "window_px": 224, "stride_px": 224, "passes": 2},
            "has_std": std is not None,
            "has_novelty": std is not None,
            **said,
        }
        kept = [values] if std is None else [values, std, novelty]
        with new_map(
            tmp_path / f"{name}.zarr",
            MapHeader(**header),
            Thumbnail.of(slide),
            np.ones(values.shape[1:], np.bool_),
        ) as writer:
            writer.put(0, kept)
        return open_map(tmp_path / f"{name}.zarr")

    return made


def rendered(figure: Figure) -> Pixels:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(np.int64)


def panel(figure: Figure, index: int) -> Pixels:
    pixels, box = rendered(figure), figure.axes[index].get_position()
    height, width = pixels.shape[:2]
    rows = slice(round((1 - box.y1) * height), round((1 - box.y0) * height))
    return pixels[rows, round(box.x0 * width) : round(box.x1 * width)]


def bounds(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(left, top, right, bottom) of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def captions(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def notes(axes: Axes) -> list[Annotation]:
    found = [text for text in axes.texts if isinstance(text, Annotation)]
    return [text for text in found if text.xyann == (0, 4) and text.xy == (0, 1)]


@pytest.mark.parametrize("width_um", [40, 75, 131])
def test_a_hot_cell_lies_at_its_place_in_a_zoom(make: Make, width_um: float) -> None:
    made, box = make({"G": HOT}), box_about((130, 200), width_um, 0.5, SIZE)
    shown = panel(draw_maps([made], ["G"], zoom=box, limits=(0, 1), alpha=1), 1)
    yellow = (shown[..., 0] > 200) & (shown[..., 2] < 100)
    scale = shown.shape[1] / box.size_px[0]
    wanted = (np.array([112, 192, 128, 208]) - [box.left, box.top, box.left, box.top]) * scale
    np.testing.assert_allclose(bounds(yellow), wanted, atol=1)


def test_a_zoom_shows_the_slides_own_pixels_where_they_are(make: Make) -> None:
    image = np.full_like(WHITE, 255)
    image[201, 121] = (0, 0, 0)  # lost in a thumbnail, were this slide larger
    made, box = make({"G": HOT}, image=image), box_about((120, 200), 10, 0.5, SIZE)
    shown = panel(draw_maps([made], ["G"], zoom=box), 0)
    scale, corner = shown.shape[1] / 20, shown[: shown.shape[0] // 2 + 200]
    wanted = (np.array([121, 201, 122, 202]) - [110, 190, 110, 190]) * scale
    np.testing.assert_allclose(bounds(corner.max(axis=-1) < 40), wanted, atol=1)


def test_cells_of_two_pitches_lie_at_the_same_place(make: Make) -> None:
    fine = HOT.repeat(2, axis=0).repeat(2, axis=1)
    maps = [make({"G": HOT}, "coarse"), make({"G": fine}, "fine")]
    figure = draw_maps(maps, ["G"], zoom=box_about((130, 200), 60, 0.5, SIZE), limits=(0, 1), alpha=1)
    found = [panel(figure, index) for index in (1, 2)]
    coarse, finer = (bounds((p[..., 0] > 200) & (p[..., 2] < 100)) for p in found)
    np.testing.assert_array_equal(coarse, finer)


def test_a_gene_has_one_scale_in_all_maps_and_another_gene_its_own(make: Make) -> None:
    rng = np.random.default_rng(1)
    low, high = (rng.uniform(0, top, (20, 30)).astype(np.float32) for top in (1, 9))
    maps = [make({"G": low, "H": low}, "a"), make({"G": high, "H": low}, "b")]
    figure = draw_maps(maps, ["G", "H"])
    drawn = [axes.images[1].get_clim() for axes in figure.axes[:6] if len(axes.images) > 1]
    assert drawn[0] == drawn[1]
    assert drawn[0][1] > 8
    assert drawn[2] == drawn[3]
    assert drawn[2][1] < 1


def test_limits_are_those_that_are_asked_for(make: Make) -> None:
    figure = draw_maps([make({"G": HOT})], ["G"], limits=(0.25, 3))
    assert figure.axes[1].images[1].get_clim() == (0.25, 3)


@pytest.mark.parametrize(("limits", "log"), [((2, 1), False), ((1, 1), False), ((0, 1), True)])
def test_limits_that_are_no_range_are_refused(make: Make, limits: tuple[float, float], log: bool) -> None:
    with pytest.raises(MapError, match="the first has to be lower"):
        draw_maps([make({"G": HOT})], ["G"], limits=limits, log=log)


def test_nothing_and_less_is_the_lowest_colour_of_a_logarithmic_scale(make: Make) -> None:
    plane = np.full((20, 30), 10, np.float32)
    plane[:, :15] = 0
    plane[:, 20:] = np.nan
    figure = draw_maps([make({"G": plane})], ["G"], log=True, alpha=1, limits=(1, 10))
    assert isinstance(figure.axes[1].images[1].norm, LogNorm)
    shown = panel(figure, 1)
    height, width = shown.shape[:2]
    assert shown[height // 3, width // 4].tolist() == pytest.approx([68, 1, 84], abs=2)
    assert shown[height // 3, width * 55 // 100].tolist() == pytest.approx([253, 231, 37], abs=2)
    assert shown[height // 3, width * 9 // 10].min() > 250, "NaN shows the slide"


def test_novel_cells_are_hatched_and_others_are_not(make: Make) -> None:
    novelty = np.zeros((1, 20, 30), np.float32)
    novelty[0, 5:10, 10:20] = 1.5
    made = make({"G": HOT}, std=np.ones((1, 20, 30), np.float32), novelty=novelty)
    figure = draw_maps([made], ["G"])
    shown = panel(figure, 1)
    pink = np.abs(shown - np.round(255 * np.array(to_rgb(HATCH)))).max(axis=-1) < 3
    scale = shown.shape[1] / 30
    np.testing.assert_allclose(bounds(pink), np.array([10, 5, 20, 10]) * scale, atol=1)
    assert 0.05 < pink[bounds(pink)[1] : bounds(pink)[3], bounds(pink)[0] : bounds(pink)[2]].mean() < 0.3
    assert "novelty above 1" in " ".join(text.get_text() for text in figure.texts)


def test_hatching_of_a_part_lies_where_it_does_on_the_whole() -> None:
    novelty = np.zeros((20, 30), np.float32)
    novelty[5:10, 10:20] = 2
    cells = Cells(plane=novelty, raster=Raster.over(SIZE, 16))
    part = hatching(cells, Box(left=100, top=50, right=340, bottom=170), 480)
    assert part.shape == (240, 480, 4)
    wanted = [(160 - 100) * 2, (80 - 50) * 2, (320 - 100) * 2, (160 - 50) * 2]
    np.testing.assert_array_equal(bounds(part[..., 3] > 0), wanted)


def test_spread_stands_beside_its_map_on_a_scale_of_its_own(make: Make) -> None:
    std = np.random.default_rng(0).uniform(3, 4, (1, 20, 30)).astype(np.float32)
    made = make({"G": HOT}, std=std, novelty=np.zeros_like(std))
    figure = draw_maps([made], ["G"], std=True, limits=(0, 1))
    assert captions(figure) == ["H&E", "G: predicted", "G: spread"]
    assert figure.axes[1].images[1].get_clim() == (0, 1)
    assert figure.axes[2].images[1].get_clim() == pytest.approx((3, 4), abs=0.05)
    assert figure.axes[-1].get_ylabel() == "standard deviation, counts per spot"


def test_captions_say_how_each_map_was_made(make: Make) -> None:
    tile = {"tile": {"size_px": 224}, "window_px": 224}
    ways = {
        "tiles side by side": {**tile, "stride_px": 224, "passes": 1},
        "stride 112 px": {**tile, "stride_px": 112, "passes": 1},
        "4 shifted passes": {**tile, "stride_px": 224, "passes": 4},
        "windows of 448 px, 2 shifted passes": {**tile, "window_px": 448, "stride_px": 384, "passes": 2},
        "predicted": {},
    }
    maps = [make({"G": HOT}, f"m{i}", provenance=made) for i, made in enumerate(ways.values())]
    assert [map_.header.how_made for map_ in maps] == list(ways)
    assert captions(draw_maps(maps[:3], ["G"])) == ["H&E", *(f"G: {way}" for way in list(ways)[:3])]


def test_genes_of_low_reliability_are_marked(make: Make) -> None:
    made = make({"G": HOT, "H": HOT, "I": HOT}, grades={"G": "A", "H": "D"})
    figure = draw_maps([made], ["G", "H", "I"])
    said = [notes(axes)[0] for axes in figure.axes[1:4]]
    assert [note.get_text().rpartition(" · ")[2] for note in said] == [
        "grade A",
        "grade D: cross-validation does not bear it out",
        "cells of 8 µm",
    ]
    assert [note.get_color() == MARKED for note in said] == [False, True, False]


def test_regions_are_zoomed_to_and_outlined(make: Make) -> None:
    drawn = [Region(name="a", polygon=shapely.box(100, 150, 180, 230))]
    figure = draw_maps([make({"G": HOT})], ["G"], regions=drawn)
    assert figure.axes[1].get_xlim() == (96, 184)
    for axes in figure.axes[:2]:
        (lines,) = (each for each in axes.collections if isinstance(each, PolyCollection))
        np.testing.assert_array_equal(np.ptp(lines.get_paths()[0].vertices, axis=0), [80, 80])


def test_measured_and_predicted_spots_stand_before_the_map(make: Make, processed: Path) -> None:
    sample = miso.open_sample(processed / "A1")
    size, gene = sample.manifest["slide"]["size_px"], str(sample.genes[0])
    plane = np.ones((20, 20), np.float32)
    made = make({gene: plane}, image=np.full((size[1], size[0], 3), 255, np.uint8))
    spots = sample.adata.obs_names
    values = np.arange(len(spots) - 1, dtype=np.float32)[:, None]
    predictions = anndata.AnnData(
        values[::-1], obs=pd.DataFrame(index=spots[:0:-1]), var=pd.DataFrame(index=[gene])
    )
    figure = draw_maps([made], [gene], sample=sample, predictions=predictions)
    assert captions(figure) == [
        "H&E",
        f"{gene}: measured",
        f"{gene}: predicted at spots",
        f"{gene}: predicted",
    ]
    measured, predicted = (
        next(each for each in axes.collections if isinstance(each, PolyCollection))
        for axes in figure.axes[1:3]
    )
    np.testing.assert_array_equal(measured.get_array(), sample.adata[:, gene].X.toarray()[:, 0])
    shown = np.ma.filled(np.ma.asarray(predicted.get_array(), dtype=float), np.nan)
    np.testing.assert_array_equal(shown, [np.nan, *range(len(spots) - 1)])
    centers = np.stack([path.vertices[:-1].mean(axis=0) for path in measured.get_paths()])
    np.testing.assert_allclose(centers, sample.adata.obsm["spatial"], atol=2)


def test_many_genes_stand_in_rows_of_four(make: Make) -> None:
    figure = draw_maps([make(dict.fromkeys("ABCDE", HOT))], list("ABCDE"))
    found = [axes.get_position() for axes in figure.axes[:6]]
    assert found[3].y0 == found[0].y0 > found[4].y1
    assert found[4].x0 == found[0].x0


def test_what_cannot_be_drawn_together_is_refused(make: Make) -> None:
    made = make({"KRT8": HOT})
    other = make({"KRT8": HOT}, "other", image=WHITE - 1, slide="other.png")
    with pytest.raises(MapError, match=r"unknown gene 'KRT9'; did you mean 'KRT8'\? \(in map 'm.zarr'\)"):
        draw_maps([made], ["KRT9"])
    with pytest.raises(MapError, match=r"m.zarr is a map of 'slide.png' and other.zarr of 'other.png'"):
        draw_maps([made, other], ["KRT8"])
    with pytest.raises(MapError, match=r"m.zarr keeps no spread; leave --std out"):
        draw_maps([made], ["KRT8"], std=True)
    with pytest.raises(MapError, match="name at least one map and one gene"):
        draw_maps([made], [])
    many = make({f"G{i}": HOT for i in range(48)}, "many")
    with pytest.raises(MapError, match="49 panels are too many for one picture, which holds 48"):
        draw_maps([many], many.genes)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({}, "2 shifted passes"),
        ({"stride_px": 32}, "stride 32 px"),
        ({"seams": "none"}, "tiles side by side"),
        ({"seams": "wide", "passes": 1}, "windows of 128 px, 1 pass"),
    ],
)
def test_captions_say_how_a_map_was_made(
    position_slide: Callable[..., Slide],
    encoder_of: Callable[..., Encoder],
    model_for: Callable[..., Any],
    tmp_path: Path,
    layout: dict[str, Any],
    said: str,
) -> None:
    size_px = (130, 100)
    slide, tile = position_slide(size_px), TileSpec(size_px=64)
    map_ = super_resolve(
        slide, encoder_of(), model_for(size_px), tmp_path / "m", tile=tile, tissue="all", **layout
    )
    assert map_.header.how_made == said

"""The page of a map: places and colours of its pictures, order of its genes, warnings, hostile names."""

from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from miso.errors import ConfigError
from miso.geometry import Raster
from miso.maps import ExpressionMap, open_map
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.models.calibration import LEVELS, Calibration
from miso.reports.map_page import page_of, windows_in_words, write_map_page
from miso.reports.map_picture import MapPainter
from miso.reports.picture import Picture
from miso.reports.thin_map import ThinMap

ReadPage = Callable[[str], Any]
HOSTILE = "<script>alert(1)</script>"
STEP = 16.0
VIRIDIS_LOW, VIRIDIS_HIGH = np.array([68, 1, 84]), np.array([253, 231, 37])


def make_map(
    folder: Path,
    planes: dict[str, NDArray[np.float32]],
    *,
    novelty: NDArray[np.float32] | None = None,
    slide: str = "/data/s.svs",
    **about: Any,
) -> ExpressionMap:
    """A map over a slide of 0.5 µm/px whose thumbnail is red."""
    values = np.stack(list(planes.values()))
    rows, columns = values.shape[1:]
    size_px = round(columns * STEP), round(rows * STEP)
    header = MapHeader(
        genes=tuple(planes),
        units="counts per spot",
        pitch_um=STEP / 2,
        raster=Raster.over(size_px, STEP),
        slide=SlideRecord(
            name=Path(slide).name, path=slide, size_px=size_px, mpp=0.5, mpp_source="tags", fingerprint="0"
        ),
        provenance={"run": "runs/x", "checkpoints": 2, "trained_on": ["A1", "B1"], "tissue": "detect"},
        has_std=novelty is not None,
        has_novelty=novelty is not None,
        **about,
    )
    red = np.zeros((rows * 4, columns * 4, 3), np.uint8)
    red[..., 0] = 255
    thumbnail = Thumbnail(rgb=red, slide_size_px=size_px)
    parts = [values] if novelty is None else [values, values / 4, novelty[None]]
    with new_map(folder / "m.zarr", header, thumbnail, np.ones((rows, columns), dtype=np.bool_)) as writer:
        writer.put(0, [part.astype(np.float32) for part in parts])
    return open_map(folder / "m.zarr")


def quarters() -> NDArray[np.float32]:
    """Nothing in the outer ring, 0 in the left half, 10 in the right."""
    plane = np.full((40, 60), np.nan, np.float32)
    plane[4:-4, 4:30], plane[4:-4, 30:-4] = 0, 10
    return plane


def pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(b64decode(picture.uri.partition(",")[2]))).convert("RGB"))


def graded(**r_low: float) -> pd.DataFrame:
    table = pd.DataFrame({"r_low": r_low})
    table = table.assign(r_cv=table["r_low"] + 0.05, sections=4, ceiling=0.9)
    table["grade"] = pd.cut(table["r_low"], [-1, 0.1, 0.3, 0.5, 1], labels=list("DCBA"), right=False).astype(
        str
    )
    return table[["r_cv", "r_low", "sections", "ceiling", "grade"]]


def test_cells_are_painted_where_they_lie_and_the_slide_in_grey_elsewhere(tmp_path: Path) -> None:
    map_ = make_map(tmp_path, {"G": quarters()})
    painter = MapPainter.of(ThinMap.of(map_), np.isfinite(map_["G"]), None)
    picture, limits = painter.paint(map_["G"])
    drawn = pixels(picture).astype(float)
    height, width = drawn.shape[:2]
    assert limits == (0, 10)
    assert width / height == pytest.approx(52 / 32, rel=0.05)  # what was seen, and a little margin
    grey = drawn[1, 1]
    assert np.ptp(grey) < 8
    for x, end in ((0.25, VIRIDIS_LOW), (0.75, VIRIDIS_HIGH)):
        assert np.abs(drawn[height // 2, round(x * width)] - (0.8 * end + 0.2 * grey)).max() < 10
    bare = pixels(painter.bare())[height // 2, width // 2]
    assert bare[0] > 240
    assert bare[1] < 15


def test_the_scale_of_a_picture_is_that_of_the_slide(tmp_path: Path) -> None:
    map_ = make_map(tmp_path, {"G": quarters()})
    painter = MapPainter.of(ThinMap.of(map_), np.isfinite(map_["G"]), None)
    shown_um = painter.view.size_px[0] * 0.5
    assert painter.um_per_px * pixels(painter.bare()).shape[1] == pytest.approx(shown_um, rel=0.01)


def test_a_large_map_is_read_thinly_and_its_cells_stay_where_they_are(tmp_path: Path) -> None:
    novelty = np.arange(40 * 60, dtype=np.float32).reshape(40, 60)
    map_ = make_map(tmp_path, {"F": quarters(), "G": quarters() + novelty}, novelty=novelty)
    whole, thin = ThinMap.of(map_), ThinMap.of(map_, most=20)
    assert (whole.every, thin.every, thin.raster.shape, thin.cell_um) == (1, 3, (14, 20), 24.0)
    for plane, full in (
        (thin.gene("G"), map_["G"]),
        (thin.std("G"), map_.std("G")),
        (thin.novelty, map_.novelty),
        (ThinMap.of(map_.select(["G"]), most=20).std("G"), map_.std("G")),
    ):
        np.testing.assert_array_equal(plane, full[::3, ::3])
    row, column = np.indices(thin.raster.shape)
    there = map_.raster.cells_of(thin.raster.centers_xy(row, column))
    np.testing.assert_array_equal(there, np.stack([3 * row, 3 * column], axis=-1))


def test_novel_cells_are_hatched(tmp_path: Path) -> None:
    novelty = np.where(np.arange(60) < 15, 2.0, 0.5).astype(np.float32) * np.ones((40, 1), np.float32)
    map_ = make_map(tmp_path, {"G": np.where(np.isfinite(quarters()), 0, np.nan)}, novelty=novelty)
    painter = MapPainter.of(ThinMap.of(map_), np.isfinite(map_["G"]), map_.novelty)
    drawn = pixels(painter.paint(map_["G"])[0]).astype(int)
    magenta = (drawn[..., 0] > 125) & (drawn[..., 1] < 90)
    assert magenta[:, : drawn.shape[1] // 8].any()
    assert not magenta[:, drawn.shape[1] // 2 :].any()


def test_the_best_grades_come_first_and_a_dozen_are_drawn(tmp_path: Path, read_page: ReadPage) -> None:
    genes = [f"G{i:02d}" for i in range(15)]
    map_ = make_map(
        tmp_path,
        dict.fromkeys(genes, quarters()),
        grades=dict.fromkeys(genes, "D") | {"G07": "A", "G03": "B"},
    )
    r = dict.fromkeys(genes, 0.0) | {"G07": 0.6, "G03": 0.4, "G09": 0.05}
    page = tmp_path / "m.html"
    assert write_map_page(map_, page, graded(**r))
    text = page.read_text()
    drawn = [part.partition('"')[0] for part in text.split('alt="Map of ')[1:]]
    assert drawn == ["G07", "G03", "G09", *sorted(set(genes) - {"G07", "G03", "G09"})[:9]]
    said = " ".join(read_page(text).text.split())
    assert "12 of 15, best grades first" in said
    assert "G07 A 0.650 0.600 4 0.900 not known" in said


def test_the_page_says_where_the_map_comes_from_and_how_to_open_it(
    tmp_path: Path, read_page: ReadPage
) -> None:
    map_ = make_map(tmp_path, {"ERBB2": quarters()}, slide="/data/my slides/s 1.svs")
    write_map_page(map_, tmp_path / "m.html")
    said = read_page((tmp_path / "m.html").read_text()).text
    for line in (
        "0.5, from: tags",
        "2 checkpoints of runs/x",
        "A1, B1",
        "69.3 % of the slide",
        "0.106 mm²",
        "never scored on a section held out",
        f"miso view '/data/my slides/s 1.svs' --map {tmp_path}/m.zarr",
        f"miso plot {tmp_path}/m.zarr --gene ERBB2",
        f"miso export {tmp_path}/m.zarr --to h5ad --out m.h5ad",
    ):
        assert line in said, line


@pytest.mark.parametrize(("far", "warned"), [(0.9, False), (2.44, True), (None, False)])
def test_a_slide_unlike_training_is_warned_of(tmp_path: Path, far: float | None, *, warned: bool) -> None:
    novelty = np.full((40, 60), 0.5, np.float32)
    map_ = make_map(tmp_path, {"G": quarters()}, novelty=novelty, slide_novelty=far)
    write_map_page(map_, tmp_path / "m.html", graded(G=0.6))
    text = (tmp_path / "m.html").read_text()
    assert ("This slide is unlike those of training" in text) == warned
    assert ("2.4 times as far" in text) == warned
    assert "of the map lies in tiles unlike" not in text


def test_tiles_unlike_training_are_counted_and_warned_of(tmp_path: Path) -> None:
    novelty = np.full((40, 60), 0.5, np.float32)
    novelty[:10] = 1.5
    write_map_page(make_map(tmp_path, {"G": quarters()}, novelty=novelty), tmp_path / "m.html", graded(G=0.6))
    assert "25.0 % of the map lies in tiles unlike" in (tmp_path / "m.html").read_text()


def test_intervals_are_given_where_they_are_known(tmp_path: Path, read_page: ReadPage) -> None:
    known = Calibration(
        genes=("G", "H"),
        base=np.array([4.0, np.nan]),
        slope=np.array([0.0, np.nan]),
        factors={level: np.array([1.5, np.nan]) for level in LEVELS},
        spots=200,
        sections=3,
    )
    map_ = make_map(tmp_path, {"G": quarters(), "H": quarters()}, calibration=known.to_json())
    write_map_page(map_, tmp_path / "m.html", graded(G=0.6, H=0.6))
    said = " ".join(read_page((tmp_path / "m.html").read_text()).text.split())
    assert "from 200 spots of 3 sections held out" in said
    assert said.count("±3") == 1  # 1.5 × √4
    assert "G A 0.650 0.600 4 0.900 known" in said
    assert "H A 0.650 0.600 4 0.900 not known" in said


def test_hostile_names_of_genes_slides_and_sections_are_shown_as_text(
    tmp_path: Path, read_page: ReadPage
) -> None:
    map_ = make_map(
        tmp_path, {HOSTILE: quarters(), '"><b>': quarters()}, slide=f"/x/{HOSTILE.replace('/', '')}"
    )
    write_map_page(map_, tmp_path / "m.html")
    text = (tmp_path / "m.html").read_text()
    reader = read_page(text)
    assert "<script>alert" not in text
    assert HOSTILE in reader.text
    assert '"><b>' in reader.text


def test_the_same_map_has_its_page_written_once_and_another_file_is_left_alone(tmp_path: Path) -> None:
    map_ = make_map(tmp_path, {"G": quarters()})
    page = page_of(map_.path)
    assert page == tmp_path / "m.html"
    assert write_map_page(map_, page)
    assert not write_map_page(map_, page)
    assert write_map_page(map_, page, graded(G=0.6))
    page.write_text("mine")
    with pytest.raises(ConfigError, match="no page that miso wrote"):
        write_map_page(map_, page)
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            {"tile": {"size_px": 224, "mpp": 0.5}, "window_px": 224, "stride_px": 224, "passes": 2},
            "of 224 px at 0.5 µm/px, side by side, 2 passes, each shifted, blended",
        ),
        (
            {"window_px": 224, "stride_px": 112, "passes": 1},
            "of 224 px, every 112 px, blended where they overlap",
        ),
        ({}, "–"),
    ],
)
def test_windows_are_told_in_words(made: dict[str, object], words: str) -> None:
    assert windows_in_words(made) == words

"""Every cell has the right value in the right place, whatever the stride, the resolution and the size."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import PatchGrid, TileGrid, TileSpec
from miso.maps import band
from miso.maps import super_resolve as module
from miso.maps.super_resolve import super_resolve
from miso.slides import Slide

Make = Callable[..., Any]


@pytest.mark.parametrize(("patch_px", "stride_px"), [(16, 224), (16, 112), (14, 56)])
@pytest.mark.parametrize(
    ("size_px", "mpp", "inner", "border"),
    [
        ((530, 301), 0.5, 0.03, 0.03),
        ((224, 224), 0.5, 0.03, 0.03),
        ((100, 90), 0.5, 0.03, 0.03),
        ((300, 211), 0.688, 0.05, 0.6),  # white beyond the edge bleeds in where pixels are resampled
        ((501, 333), 0.25, 0.05, 0.5),
    ],
)
def test_every_cell_lies_where_it_says(
    position_slide: Make,
    encoder_of: Make,
    model_for: Make,
    tmp_path: Path,
    size_px: tuple[int, int],
    mpp: float,
    inner: float,
    border: float,
    patch_px: int,
    stride_px: int,
) -> None:
    slide = position_slide(size_px, mpp)
    made = super_resolve(
        slide, encoder_of(patch_px), model_for(size_px), tmp_path / "m", stride_px=stride_px, tissue="all"
    )
    row, col = np.indices(made.raster.shape)
    centre = made.raster.centers_xy(row, col)
    assert made.step_xy[0] == pytest.approx(patch_px * 0.5 / mpp)
    assert made.origin_xy == pytest.approx((made.step_xy[0] / 2, made.step_xy[1] / 2))
    off = np.hypot(made["X"] - centre[..., 0], made["Y"] - centre[..., 1]) / made.step_xy[0]
    whole = np.all(centre + made.step_xy[0] / 2 <= np.array(size_px) + 1e-6, axis=-1)
    assert off[whole].max() < border
    away = whole & (row > 0) & (col > 0) & np.roll(whole, (-1, -1), axis=(0, 1))
    away[-1] = away[:, -1] = False
    assert off[away].max(initial=0) < inner
    assert np.isfinite(made["X"]).all()


@pytest.mark.parametrize(("stride_px", "batch_size"), [(64, 5), (32, 1), (32, 64), (16, 16)])
def test_overlapping_tiles_are_averaged_as_by_brute_force(
    position_slide: Make,
    encoder_of: Make,
    model_for: Make,
    read_encode: Make,
    tmp_path: Path,
    stride_px: int,
    batch_size: int,
) -> None:
    size_px, tile, encoder = (250, 170), TileSpec(size_px=64), encoder_of(context=0.5)
    slide, model = position_slide(size_px), model_for(size_px)
    made = super_resolve(
        slide,
        encoder,
        model,
        tmp_path / "m",
        tile=tile,
        stride_px=stride_px,
        tissue="all",
        batch_size=batch_size,
    )
    grid = TileGrid(
        patches=PatchGrid(tile=tile, patch_px=16), stride_px=stride_px, slide_size_px=size_px, slide_mpp=0.5
    )
    along = np.sin(np.pi * np.array([1, 3, 5, 7]) / 8) ** 2
    fade = along[:, None] * along
    total, weight, count = np.zeros((30, 30)), np.zeros((30, 30)), np.zeros((30, 30))
    for row, col in np.ndindex(*grid.shape):
        seen = read_encode(slide.read(grid.origin_xy(row, col), (64, 64), 0.5), encoder)
        rows = slice(grid.first_cell(row) + 4, grid.first_cell(row) + 8)
        columns = slice(grid.first_cell(col) + 4, grid.first_cell(col) + 8)
        total[rows, columns] += fade * model.predict_patches(seen)[:, 0].reshape(4, 4)
        weight[rows, columns] += fade
        count[rows, columns] += 1
    inside = tuple(slice(4, 4 + n) for n in made.raster.shape)
    assert (count[inside] == (64 // stride_px) ** 2).all()
    np.testing.assert_allclose(made["X"], total[inside] / weight[inside], rtol=1e-5)


def test_only_one_row_of_tiles_is_held(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    class Watched(band.Band):
        def __init__(self, n_genes: int, height: int, width: int, top: int) -> None:
            super().__init__(n_genes, height, width, top)
            shapes.append(self._sum.shape)

        def advance(self, top: int) -> band.Rows:
            rows = super().advance(top)
            shapes.append(self._sum.shape)
            return rows

    monkeypatch.setattr(module, "Band", Watched)
    slide = position_slide((100, 1800))
    super_resolve(slide, encoder, model_for((100, 1800)), tmp_path / "m", genes=["X", "Y"], tissue="all")
    assert len(shapes) > 10
    assert set(shapes) == {(2, 14, 7)}


def test_only_the_genes_asked_for_are_mapped_in_that_order(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide, model = position_slide((300, 300)), model_for((300, 300))
    made = super_resolve(slide, encoder, model, tmp_path / "m", genes=["BLUE", "X"], tissue="all")
    assert made.genes == ("BLUE", "X")
    assert made.units == "px"
    assert made["BLUE"][:-1, :-1] == pytest.approx(120)
    assert made["X"][0, 0] == pytest.approx(8, abs=1)


def test_the_model_sees_a_reference_of_tiles_that_do_not_overlap(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    model = model_for((448, 448))
    super_resolve(position_slide((448, 448)), encoder, model, tmp_path / "m", tissue="all")
    (shown,) = model.looked_at
    assert shown.shape == (4, 196, 3)
    assert set(model.references) == {"the slide's reference"}
    assert shown.mean(axis=(0, 1)) == pytest.approx([100, 100, 120], abs=0.5)


def test_glass_stays_empty(save: Make, encoder: Encoder, model_for: Make, tmp_path: Path) -> None:
    image = np.full((900, 1000, 3), 245, np.uint8)
    image[320:640, 160:480] = (150, 60, 140)
    made = super_resolve(save(image), encoder, model_for((1000, 900)), tmp_path / "m")
    seen = np.isfinite(made["BLUE"])
    wanted = np.zeros_like(seen)
    wanted[20:40, 10:30] = True
    assert seen[21:39, 11:29].all()
    assert not seen[~_grown(wanted)].any()
    assert made["BLUE"][30, 20] == pytest.approx(140)


def _grown(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    near = [np.roll(padded, shift, axis=(0, 1)) for shift in np.ndindex(3, 3)]
    return np.any(near, axis=0)[2:, 2:]


def test_two_pieces_far_apart_leave_empty_rows_between(
    save: Make, encoder: Encoder, model_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miso.maps.store.BUFFER_BYTES", 1)  # chunks of 16 rows
    image = np.full((2400, 300, 3), 250, np.uint8)
    image[160:480] = image[1920:2240] = (150, 60, 140)
    made = super_resolve(save(image), encoder, model_for((300, 2400)), tmp_path / "m", stride_px=224)
    rows = np.flatnonzero(np.isfinite(made["BLUE"][:, 5]))
    assert {*range(11, 29), *range(121, 139)} <= set(rows) <= {*range(9, 31), *range(119, 141)}


def test_a_blank_slide_is_refused_unless_all_of_it_is_wanted(
    save: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide = save(np.full((400, 400, 3), 255, np.uint8))
    with pytest.raises(MapError, match=r"no tissue found in 'slide\.png'; pass --tissue all"):
        super_resolve(slide, encoder, model_for((400, 400)), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["slide.png"]
    made = super_resolve(slide, encoder, model_for((400, 400)), tmp_path / "m", tissue="all")
    assert np.isfinite(made["BLUE"]).all()


def test_the_same_map_is_not_made_twice(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide = position_slide((300, 300))
    first = super_resolve(
        slide, encoder, model_for((300, 300)), tmp_path / "m", provenance={"checkpoint": "a"}
    )
    again = model_for((300, 300))
    second = super_resolve(slide, encoder, again, tmp_path / "m", provenance={"checkpoint": "a"})
    assert not again.looked_at
    assert not again.references
    np.testing.assert_array_equal(first["X"], second["X"])


def test_another_map_is_not_overwritten(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    model, out = model_for((300, 300)), tmp_path / "m"
    slide, other = position_slide((300, 300)), position_slide((300, 310), name="other.png")
    super_resolve(slide, encoder, model, out, provenance={"checkpoint": "a"})
    with pytest.raises(MapError, match="stride_px is 112, now 32"):
        super_resolve(slide, encoder, model, out, provenance={"checkpoint": "a"}, stride_px=32)
    with pytest.raises(MapError, match="checkpoint is a, now b"):
        super_resolve(slide, encoder, model, out, provenance={"checkpoint": "b"})
    with pytest.raises(
        MapError, match=r"slide.fingerprint is .* slide.size_px is \[300, 300\], now \[300, 310\]"
    ):
        super_resolve(other, encoder, model, out, provenance={"checkpoint": "a"})


def test_what_is_no_map_is_not_overwritten(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("years of work")
    with pytest.raises(MapError, match="is no expression map"):
        super_resolve(position_slide((300, 300)), encoder, model_for((300, 300)), tmp_path / "m")
    assert (tmp_path / "m" / "thesis.txt").read_text() == "years of work"


def test_a_run_that_breaks_leaves_nothing_and_the_next_one_starts_afresh(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide, out = position_slide((300, 900)), tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        super_resolve(slide, encoder, model_for((300, 900), fail_after=2), out, batch_size=4, tissue="all")
    assert [path.name for path in tmp_path.iterdir()] == ["slide.png"]
    made = super_resolve(slide, encoder, model_for((300, 900)), out, batch_size=4, tissue="all")
    assert np.isfinite(made["X"]).all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"genes": ["BLEU"]}, "unknown gene 'BLEU'; did you mean 'BLUE'"),
        ({"genes": []}, "no genes asked for"),
        ({"stride_px": 100}, "stride 100 px: choose one of 16, 32, 112, 224"),
        ({"stride_px": 0}, "stride 0 px"),
        ({"tile": TileSpec(size_px=230)}, "patches of 16 px do not divide a tile of 230 px"),
        ({"batch_size": 0}, "batch size 0"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_written(
    position_slide: Make,
    encoder: Encoder,
    model_for: Make,
    tmp_path: Path,
    asked: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(MapError, match=message):
        super_resolve(position_slide((300, 300)), encoder, model_for((300, 300)), tmp_path / "m", **asked)
    assert [path.name for path in tmp_path.iterdir()] == ["slide.png"]


def test_the_map_says_where_it_came_from(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide: Slide = position_slide((300, 300), 0.688)
    made = super_resolve(
        slide, encoder, model_for((300, 300)), tmp_path / "m", provenance={"checkpoint": "run/7"}
    )
    assert made.provenance["encoder"] == "mean-colour@1"
    assert made.provenance["checkpoint"] == "run/7"
    assert made.provenance["tile"] == {"size_px": 224, "mpp": 0.5}
    assert made.provenance["stride_px"] == 112
    record = made.header.slide
    assert (record.name, record.size_px, record.mpp) == ("slide.png", (300, 300), 0.688)
    assert record.mpp_source == "--mpp"
    assert Path(record.path) == slide.path.resolve()
    assert made.thumbnail.rgb.shape == (300, 300, 3)
    stored = zarr.open_group(tmp_path / "m", mode="r")["expression"]
    assert stored.metadata.zarr_format == 3


def test_progress_is_shown_of_both_passes(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def track(iterable: Iterable[Any], total: int, description: str) -> Iterable[Any]:
        items = list(iterable)
        seen[description] = len(items), total
        return items

    slide = position_slide((500, 500))
    super_resolve(slide, encoder, model_for((500, 500)), tmp_path / "m", track=track, batch_size=4)
    assert set(seen) == {"look over the slide", "super-resolve"}
    assert all(done == total for done, total in seen.values())

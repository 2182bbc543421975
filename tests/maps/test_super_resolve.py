"""Every cell has the right value in the right place, whatever the stride, the resolution and the size."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.geometry import PatchGrid, TileGrid, TileSpec
from miso.maps import band, painter
from miso.maps.expression_map import ExpressionMap
from miso.maps.super_resolve import super_resolve
from miso.slides import Slide
from miso.slides.mask import SlideMask

Make = Callable[..., Any]


SIZES = [((530, 301), 0.5), ((224, 224), 0.5), ((100, 90), 0.5), ((300, 211), 0.688), ((501, 333), 0.25)]
"""(width, height) in px, and µm per px: tiles that fit and such that do not, copied and resampled."""
ROUNDING_PX = 0.6
"""Of 8-bit colours, in tile pixels: 200 grey levels span the slide."""


@pytest.mark.parametrize(
    ("patch_px", "layout", "cell_px", "inwards_px"),
    [
        (14, {"stride_px": 224}, 14, 0),
        (14, {"stride_px": 112}, 14, 0),
        (14, {"stride_px": 56}, 14, 0),
        (14, {"seams": "wide", "passes": 1}, 14, 0),
        (16, {"stride_px": 224}, 16, 0),
        (16, {"stride_px": 112}, 16, 0),
        (16, {"stride_px": 56}, 8, 0),
        (16, {"seams": "wide", "passes": 4}, 8, 0),
        (16, {"stride_px": 28}, 4, 2),
    ],
)
@pytest.mark.parametrize(("size_px", "mpp"), SIZES)
def test_every_cell_lies_where_it_says_to_the_very_border(
    position_slide: Make,
    encoder_of: Make,
    model_for: Make,
    tmp_path: Path,
    size_px: tuple[int, int],
    mpp: float,
    patch_px: int,
    layout: dict[str, Any],
    cell_px: int,
    inwards_px: float,
) -> None:
    slide, encoder, model = position_slide(size_px, mpp), encoder_of(patch_px), model_for(size_px)
    made = map_all(slide, encoder, model, tmp_path / "m", **layout)
    assert made.step_xy[0] == pytest.approx(cell_px * 0.5 / mpp)
    off, whole = misplaced(made, size_px)
    assert off[whole].max() * cell_px < inwards_px * 2**0.5 + ROUNDING_PX  # in the corners
    assert off[4:-4, 4:-4].max(initial=0) * cell_px < ROUNDING_PX
    assert np.isfinite(made["X"]).all()


@pytest.mark.parametrize("passes", [2, 4, 16])
@pytest.mark.parametrize(("size_px", "mpp"), SIZES)
def test_where_passes_weigh_unlike_cells_lie_within_half_of_one_of_their_place(
    position_slide: Make,
    encoder_of: Make,
    model_for: Make,
    tmp_path: Path,
    size_px: tuple[int, int],
    mpp: float,
    passes: int,
) -> None:
    slide, model = position_slide(size_px, mpp), model_for(size_px)
    made = map_all(slide, encoder_of(16), model, tmp_path / "m", passes=passes)
    assert made.step_xy[0] == pytest.approx(8 * 0.5 / mpp)
    off, whole = misplaced(made, size_px)
    one_sided = 0.5 * 2**0.5  # where one patch counts alone, its centre is half a cell off along both axes
    assert off[whole].max() * 8 < 8 * one_sided + ROUNDING_PX


def map_all(slide: Slide, encoder: Encoder, model: Any, out: Path, **asked: Any) -> ExpressionMap:
    return super_resolve(slide, encoder, model, out, tissue="all", **asked)


def misplaced(made: ExpressionMap, size_px: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """How many cells the map says that each lies off its place, and which lie wholly on the slide."""
    row, col = np.indices(made.raster.shape)
    centre, step = made.raster.centers_xy(row, col), made.step_xy[0]
    off = np.hypot(made["X"] - centre[..., 0], made["Y"] - centre[..., 1]) / step
    return off, np.all(centre + step / 2 <= np.array(size_px) + 1e-6, axis=-1)


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
    whole = np.pad(slide.read((0, 0), size_px, 0.5), ((64, 64), (64, 64), (0, 0)), mode="symmetric")
    total, weight = np.zeros((30, 30)), np.zeros((30, 30))
    for row, col in grid.first_cells().tolist():
        top, left = 64 + 16 * row, 64 + 16 * col
        seen = read_encode(whole[top : top + 64, left : left + 64], encoder)
        rows, columns = slice(row + 4, row + 8), slice(col + 4, col + 8)
        total[rows, columns] += fade * model.predict_patches(seen)[:, 0].reshape(4, 4)
        weight[rows, columns] += fade
    inside = tuple(slice(4, 4 + n) for n in made.raster.shape)
    np.testing.assert_allclose(made["X"], total[inside] / weight[inside], rtol=1e-5)


def test_only_one_row_of_tiles_is_held(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    class Watched(band.Band):
        def __init__(self, *made_of: Any, **named: Any) -> None:
            super().__init__(*made_of, **named)
            shapes.append(self._sum.shape)

        def advance(self, top: int) -> band.Rows:
            rows = super().advance(top)
            shapes.append(self._sum.shape)
            return rows

    monkeypatch.setattr(painter, "Band", Watched)
    slide = position_slide((100, 1800))
    model = model_for((100, 1800))
    super_resolve(slide, encoder, model, tmp_path / "m", genes=["X", "Y"], tissue="all", stride_px=112)
    assert len(shapes) > 10
    assert set(shapes) == {(2 * 2 + 1, 14, 7)}


def test_only_the_genes_asked_for_are_mapped_in_that_order(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide, model = position_slide((300, 300)), model_for((300, 300))
    made = super_resolve(
        slide, encoder, model, tmp_path / "m", genes=["BLUE", "X"], tissue="all", stride_px=112
    )
    assert made.genes == ("BLUE", "X")
    assert made.units == "px"
    assert made["BLUE"][:-1, :-1] == pytest.approx(120)
    assert made["X"][0, 0] == pytest.approx(8, abs=1)


def test_the_model_sees_a_reference_of_tiles_that_do_not_overlap(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    model = model_for((448, 448))
    super_resolve(position_slide((448, 448)), encoder, model, tmp_path / "m", tissue="all", stride_px=112)
    (shown,) = model.looked_at
    assert shown.shape == (4, 196, 3)
    assert set(model.references) == {"the slide's reference"}
    assert shown.mean(axis=(0, 1)) == pytest.approx([100, 100, 120], abs=0.5)


def test_glass_stays_empty(save: Make, encoder: Encoder, model_for: Make, tmp_path: Path) -> None:
    image = np.full((900, 1000, 3), 245, np.uint8)
    image[320:640, 160:480] = (150, 60, 140)
    made = super_resolve(save(image), encoder, model_for((1000, 900)), tmp_path / "m", stride_px=112)
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
    super_resolve(slide, encoder, model, out, provenance={"checkpoint": "a"}, stride_px=112)
    with pytest.raises(MapError, match="stride_px is 112, now 32"):
        super_resolve(slide, encoder, model, out, provenance={"checkpoint": "a"}, stride_px=32)
    with pytest.raises(MapError, match="checkpoint is a, now b"):
        super_resolve(slide, encoder, model, out, provenance={"checkpoint": "b"}, stride_px=112)
    with pytest.raises(
        MapError, match=r"slide.fingerprint is .* slide.size_px is \[300, 300\], now \[300, 310\]"
    ):
        super_resolve(other, encoder, model, out, provenance={"checkpoint": "a"}, stride_px=112)


def test_what_is_no_map_is_not_overwritten(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("years of work")
    with pytest.raises(MapError, match="is no expression map"):
        super_resolve(position_slide((300, 300)), encoder, model_for((300, 300)), tmp_path / "m")
    assert (tmp_path / "m" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("layout", [{"stride_px": 112}, {"passes": 4}])
@pytest.mark.parametrize("batches", [3, 11, 18])
def test_killed_and_begun_again_it_comes_to_the_same_bits(
    position_slide: Make,
    encoder_of: Make,
    model_for: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: dict[str, Any],
    batches: int,
) -> None:
    monkeypatch.setattr("miso.maps.store.BUFFER_BYTES", 1)  # chunks of 16 rows
    size_px, encoder = (500, 1400), encoder_of(context=0.5)
    slide, options = position_slide(size_px), {"tissue": "all", "batch_size": 4, **layout}
    whole_model, again = model_for(size_px, variance=2.0), model_for(size_px, variance=2.0)
    whole = super_resolve(slide, encoder, whole_model, tmp_path / "whole", **options)
    broken = model_for(size_px, fail_after=batches, variance=2.0)
    with pytest.raises(KeyboardInterrupt):
        super_resolve(slide, encoder, broken, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()
    spoil_what_is_not_safe(tmp_path / ".m.partial")
    made = super_resolve(slide, encoder, again, tmp_path / "m", **options)
    assert not (tmp_path / ".m.partial").exists()
    assert len(again.references) < len(whole_model.references) or batches < 15
    for gene in made:
        np.testing.assert_array_equal(made[gene], whole[gene])
        np.testing.assert_array_equal(made.std(gene), whole.std(gene))
    np.testing.assert_array_equal(made.novelty, whole.novelty)


def spoil_what_is_not_safe(partial: Path) -> None:
    """Leave behind what a kill in the midst of writing might: rows that nobody vouches for."""
    if partial.exists():
        written = json.loads((partial / "making" / "band-0.json").read_text())["written"]
        zarr.open_group(partial, mode="r+")["expression"][:, written : written + 9] = -1


def test_a_run_that_breaks_at_once_leaves_nothing(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide, broken = position_slide((300, 300)), model_for((300, 300), fail_after=0)
    with pytest.raises(KeyboardInterrupt):
        super_resolve(slide, encoder, broken, tmp_path / "m", tissue="all")
    assert [path.name for path in tmp_path.iterdir()] == ["slide.png"]


def test_what_another_request_left_unfinished_is_not_gone_on_with(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miso.maps.store.BUFFER_BYTES", 1)
    slide, options = position_slide((300, 900)), {"tissue": "all", "batch_size": 2, "stride_px": 112}
    with pytest.raises(KeyboardInterrupt):
        super_resolve(slide, encoder, model_for((300, 900), fail_after=12), tmp_path / "m", **options)
    assert (tmp_path / ".m.partial").exists()
    other = super_resolve(slide, encoder, model_for((300, 900)), tmp_path / "m", genes=["Y"], **options)
    assert other.genes == ("Y",)
    assert np.isfinite(other["Y"]).all()


def test_the_spread_is_over_models_and_over_windows(
    position_slide: Make, encoder_of: Make, model_for: Make, tmp_path: Path
) -> None:
    slide, size_px = position_slide((448, 448)), (448, 448)
    models = map_all(slide, encoder_of(), model_for(size_px, variance=9.0), tmp_path / "a", stride_px=224)
    np.testing.assert_allclose(models.std("BLUE"), 3, rtol=1e-3)
    alone = map_all(slide, encoder_of(), model_for(size_px), tmp_path / "b", stride_px=112)
    np.testing.assert_allclose(alone.std("BLUE"), 0, atol=0.1)
    torn = map_all(slide, encoder_of(context=1.0), model_for(size_px), tmp_path / "c", stride_px=112)
    assert np.median(torn.std("X")) > 10  # windows that see other surroundings say other things
    without = map_all(slide, encoder_of(), model_for(size_px), tmp_path / "d", std=False)
    assert without.std("X") is None
    assert without.novelty is None


@pytest.mark.parametrize("seams", ["none", "wide"])
def test_novelty_is_that_of_the_training_sized_tile_about_a_cell(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, seams: str
) -> None:
    slide = position_slide((896, 448))
    made = map_all(
        slide,
        encoder,
        model_for((896, 448)),
        tmp_path / "m",
        seams=seams,
        passes=1 if seams == "wide" else None,
    )
    of_tiles = np.repeat([0.125, 0.375, 0.625, 0.875], 14)  # the model says how far right a tile lies
    off = np.abs(made.novelty[10] - of_tiles)
    assert off.max() < (0.01 if seams == "none" else 0.35)  # wide windows start elsewhere


def test_a_mask_bounds_the_map_and_the_slide_is_summed_up_whole(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide, size_px = position_slide((1344, 896)), (1344, 896)
    mask = np.zeros((8, 12), dtype=np.bool_)
    mask[2:4, 3:7] = True
    part, whole = model_for(size_px), model_for(size_px)
    region = SlideMask(mask=mask, slide_size_px=size_px)
    made = super_resolve(slide, encoder, part, tmp_path / "m", tissue=region, stride_px=112)
    everything = super_resolve(slide, encoder, whole, tmp_path / "w", tissue="all", stride_px=112)
    seen = np.isfinite(made["X"])
    np.testing.assert_array_equal(seen, np.kron(mask, np.ones((7, 7), dtype=np.bool_)))
    np.testing.assert_allclose(made["X"][seen], everything["X"][seen], rtol=1e-6)
    np.testing.assert_array_equal(part.looked_at[0], whole.looked_at[0])
    assert len(part.references) < len(whole.references)


def test_the_map_keeps_grades_and_calibration_of_its_genes(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    model = model_for((300, 300), grades={"X": "high", "Y": "low", "BLUE": "low"})
    made = map_all(position_slide((300, 300)), encoder, model, tmp_path / "m", genes=["Y", "X"])
    assert made.grades == {"X": "high", "Y": "low"}
    assert made.header.calibration is None
    assert made.slide_novelty == 1.5


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"genes": ["BLEU"]}, "unknown gene 'BLEU'; did you mean 'BLUE'"),
        ({"genes": []}, "no genes asked for"),
        (
            {"stride_px": 100},
            "stride 100 px: choose a divisor of the tile's 224 px, such as 14, 16, 28, 32, 56, 112, 224",
        ),
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
    assert (made.provenance["window_px"], made.provenance["passes"]) == (224, 2)
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

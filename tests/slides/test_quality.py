"""Each reason is told on phantom sections with that defect painted on, and nothing else is called bad."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from miso.errors import SlideError
from miso.geometry import Raster
from miso.phantom import PhantomSpec, Section, make_section
from miso.phantom.defects import INKS, TRANSLUCENT, blur, fold, ink
from miso.slides import Slide, open_slide
from miso.slides.density import EOSIN, HAEMATOXYLIN
from miso.slides.mask import SlideMask, without_thin
from miso.slides.quality import COLUMNS, REASONS, assess_tiles, cover, slide_quality, spot_quality
from miso.slides.tissue import tissue_mask

Save = Callable[..., Slide]
Picture = NDArray[np.uint8]
SIDE_PX = 224.0
SIZE = 3200


@pytest.fixture(scope="module")
def section() -> Section:
    """1.6 mm of tissue at 0.5 µm/px."""
    spec = PhantomSpec(seed=5, n_patients=1, n_sections=1, size_um=1600, n_visible=2, n_null=0)
    return make_section(spec, 0, 0)


@pytest.fixture(scope="module")
def band() -> NDArray[np.bool_]:
    """A diagonal band of 300 µm."""
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    return np.abs(y - 0.6 * x - 600) < 350


def assess(slide: Slide, **settings: object) -> pd.DataFrame:
    return assess_tiles(slide, cover(slide, SIDE_PX), SIDE_PX, **settings)


def on_slide(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["on_slide"] > 0.99]


def covered(where: NDArray[np.bool_], slide: Slide) -> NDArray[np.float64]:
    return SlideMask(mask=where, slide_size_px=slide.size_px).share(cover(slide, SIDE_PX), SIDE_PX)


def true_tissue(section: Section, slide: Slide) -> NDArray[np.float64]:
    """Share of each tile that was grown as tissue."""
    raster, xy = section.truth.raster, cover(slide, SIDE_PX)
    fine = Raster(origin_xy=raster.origin_xy, step_px=raster.step_px, shape=section.truth.tissue.shape)
    row, col = np.indices(fine.shape)
    center = fine.centers_xy(row, col)
    inside = [np.all((center >= corner) & (center < corner + SIDE_PX), axis=-1) for corner in xy]
    return np.array([section.truth.tissue[mask].mean() for mask in inside])


def test_a_sound_section_is_tissue_where_it_grew(save: Save, section: Section) -> None:
    slide = save(section.image, name="s.tif")
    table, truth = on_slide(assess(slide)), true_tissue(section, slide)
    truth = truth[table.index]
    told = table["reason"][truth > 0.5]
    assert (told == "tissue").mean() >= 0.93  # fat is as clear as glass
    assert told.isin(["tissue", "background"]).mean() >= 0.98
    assert (table["reason"][truth == 0] == "background").all()
    assert np.corrcoef(table["tissue_share"], truth)[0, 1] > 0.9
    assert table["sharpness"].min() > 0.3


@pytest.mark.parametrize("strength", [1.0, TRANSLUCENT], ids=["opaque", "thin"])
@pytest.mark.parametrize("colour", INKS)
def test_ink_is_told_from_tissue_and_glass(
    save: Save, section: Section, band: NDArray[np.bool_], colour: str, strength: float
) -> None:
    slide = save(ink(section.image, band, colour, strength), name="s.tif")
    table, share = on_slide(assess(slide, sharpness=False)), covered(band, slide)
    share = share[table.index]
    if (colour, strength) != ("red", TRANSLUCENT):  # over eosin it is eosin to the eye too
        assert (table["reason"][share > 0.5] == "pen").mean() >= 0.95
    assert (table["reason"][share == 0] != "pen").all()
    if strength == 1:
        assert tissue_mask(slide).share(cover(slide, SIDE_PX)[table.index[share > 0.95]], SIDE_PX).max() < 0.1


def test_a_fold_is_twice_as_dense_as_tissue_of_its_hue(
    save: Save, section: Section, band: NDArray[np.bool_]
) -> None:
    narrow = band & np.roll(band, 400, axis=0)
    glass = tuple(float(value) for value in np.percentile(section.image, 99, axis=(0, 1)))
    slide = save(fold(section.image, narrow, (40, 24), glass), name="s.tif")
    table, share = on_slide(assess(slide, sharpness=False)), covered(narrow, slide)
    share = share[table.index]
    assert (table["reason"][(share > 0.5) & (table["tissue_share"] > 0.9)] == "fold").mean() >= 0.8
    assert (table["reason"][share == 0] != "fold").mean() >= 0.98


@pytest.mark.parametrize("sigma_um", [2.0, 5.0])
def test_blur_is_told_and_what_is_sharp_stays_sharp(
    save: Save, section: Section, band: NDArray[np.bool_], sigma_um: float
) -> None:
    rgb = blur(section.image, band, sigma_um / 0.5, np.random.default_rng(0))
    slide = save(rgb, name="s.tif")
    table, share = on_slide(assess(slide)), covered(band, slide)
    share = share[table.index]
    assert (table["reason"][(share > 0.7) & (table["tissue_share"] > 0.5)] == "blur").mean() >= 0.95
    assert (table["reason"][share == 0] != "blur").all()
    unread = assess(slide, sharpness=False)
    assert unread["sharpness"].isna().all()
    assert not (unread["reason"] == "blur").any()


def test_a_slide_too_coarse_for_detail_is_never_called_blurred(save: Save, section: Section) -> None:
    slide = save(section.image[::8, ::8].copy(), mpp=4.0)
    table = assess_tiles(slide, cover(slide, 28.0), 28.0)
    assert table["sharpness"].isna().all()
    assert (table["reason"] == "tissue").sum() > 100
    assert not (table["reason"] == "blur").any()


def test_amounts_of_stain_are_those_that_were_painted(save: Save) -> None:
    dyes = np.array([HAEMATOXYLIN, EOSIN])
    dyes /= np.linalg.norm(dyes, axis=1, keepdims=True)
    image = np.full((896, 896, 3), 255, dtype=np.uint8)
    image[224:672, 224:448] = (255 * 10 ** -(np.array([0.30, 0.10]) @ dyes)).round()
    image[224:672, 448:672] = (255 * 10 ** -(np.array([0.05, 0.35]) @ dyes)).round()
    slide = save(image)
    table = assess_tiles(slide, np.array([[224.0, 300], [448, 300], [0, 0]]), 224.0, sharpness=False)
    np.testing.assert_allclose(table["haematoxylin"], [0.30, 0.05, np.nan], atol=0.02)
    np.testing.assert_allclose(table["eosin"], [0.10, 0.35, np.nan], atol=0.02)
    assert table["reason"].tolist() == ["tissue", "tissue", "background"]


def test_shares_are_of_the_part_on_the_slide(save: Save) -> None:
    image = np.full((1600, 1600, 3), 255, dtype=np.uint8)
    image[:, :800] = (130, 80, 150)
    slide = save(image)
    corners = np.array([[-300.0, 0], [-100, 200], [600, 600], [1500, 0], [9000, 9000]])
    table = assess_tiles(slide, corners, 400.0, sharpness=False)
    np.testing.assert_allclose(table["on_slide"], [0.25, 0.75, 1, 0.25, 0])
    np.testing.assert_allclose(table["tissue_share"], [1, 1, 0.5, 0, 0], atol=0.05)
    np.testing.assert_allclose(table["bright_share"], [0, 0, 0.5, 1, 0], atol=0.05)
    assert table["reason"].tolist() == ["off slide", "tissue", "tissue", "off slide", "off slide"]


def test_the_table_has_every_column_and_no_row_for_no_tile(save: Save) -> None:
    slide = save(np.full((300, 300, 3), 250, dtype=np.uint8))
    table = assess_tiles(slide, np.empty((0, 2)), 224.0)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 0
    assert tuple(assess(slide)["reason"].cat.categories) == REASONS


def test_quality_of_a_spot_is_that_of_its_square(save: Save, section: Section) -> None:
    slide = save(section.image[:1600, :1600].copy(), name="s.tif")
    center = np.array([[500.0, 700.0], [1200.5, 900.25]])
    of_spots = spot_quality(slide, center, 110.0)
    pd.testing.assert_frame_equal(of_spots, assess_tiles(slide, center - 55, 110.0))
    known = assess_tiles(slide, center - 55, 110.0, quality=slide_quality(slide))
    pd.testing.assert_frame_equal(of_spots, known)


@pytest.mark.parametrize(("corner", "side"), [(0.0, 0.0), (0.0, -5.0), (0.0, np.nan), (np.nan, 224.0)])
def test_tiles_without_a_size_or_place_are_refused(save: Save, corner: float, side: float) -> None:
    slide = save(np.full((300, 300, 3), 250, dtype=np.uint8))
    with pytest.raises(SlideError, match=r"corners and side are finite, and a side is above 0"):
        assess_tiles(slide, np.array([[corner, 0.0]]), side)


@pytest.mark.parametrize("side_px", [100.0, 224.0, 7.3, 5000.0])
def test_tiles_cover_the_slide_once(save: Save, side_px: float) -> None:
    slide = save(np.full((301, 450, 3), 250, dtype=np.uint8))
    table = assess_tiles(slide, cover(slide, side_px), side_px, sharpness=False)
    assert (table["on_slide"] * side_px**2).sum() == pytest.approx(301 * 450)


def test_thin_lines_go_and_broad_ones_stay_up_to_the_border() -> None:
    mask = np.zeros((40, 60), dtype=np.bool_)
    mask[:, 10:13] = True
    mask[:, 30:50] = True
    wanted = np.zeros_like(mask)
    wanted[:, 30:50] = True
    np.testing.assert_array_equal(without_thin(mask, 8), wanted)


@pytest.mark.data
def test_spots_of_a_real_section_lie_on_tissue(real_data: Path) -> None:
    folder = real_data / "visium" / "mouse_brain_crop"
    spots = anndata.read_h5ad(folder / "test_data.h5ad").obsm["spatial"].astype(np.float64)
    with open_slide(folder / "test_img.jpg", 0.727) as slide:
        table = spot_quality(slide, spots, 55 / 0.727)
    assert (table["reason"] == "tissue").mean() >= 0.98
    assert (table["sharpness"] > 0.3).all()

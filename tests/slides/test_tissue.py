"""Tissue is found on pale, tinted, dirty, full and empty slides, and its share of any square is exact."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from miso.geometry import PatchGrid, Raster, TileGrid, TileSpec
from miso.maps.tiles import reference_tiles
from miso.slides import Slide
from miso.slides.tissue import TissueMask, mask_thumbnail, otsu, tissue_mask, tissue_tiles, whole_slide

Save = Callable[..., Slide]
PINK, PURPLE = (225, 170, 200), (130, 80, 150)


def noisy(image: NDArray[np.uint8], spread: float = 6) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, spread, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def slide_of(colour: tuple[int, int, int], size: int = 800) -> NDArray[np.uint8]:
    return np.full((size, size, 3), colour, dtype=np.uint8)


@pytest.mark.parametrize("glass", [(255, 255, 255), (240, 240, 238), (235, 215, 232), (228, 228, 215)])
@pytest.mark.parametrize("tissue", [PINK, PURPLE])
def test_tissue_is_told_from_glass(
    save: Save, glass: tuple[int, int, int], tissue: tuple[int, int, int]
) -> None:
    image = slide_of(glass)
    image[160:640, 320:640] = tissue
    mask = tissue_mask(save(noisy(image))).mask
    wanted = np.zeros((50, 50), dtype=np.bool_)
    wanted[10:40, 20:40] = True
    assert mask.shape == (50, 50)
    assert (mask ^ wanted).sum() <= 100  # the rim, smoothed
    assert mask[12:38, 22:38].all()
    assert not mask[:8].any()


@pytest.mark.parametrize("glass", [(150, 150, 140), (110, 112, 108)])
@pytest.mark.parametrize("tissue", [PINK, PURPLE, (60, 40, 110)])
def test_tissue_is_told_from_dim_grey_glass(
    save: Save, glass: tuple[int, int, int], tissue: tuple[int, int, int]
) -> None:
    image = slide_of(glass)
    image[160:640, 320:640] = (np.array(glass) * tissue / 255).round()
    mask = tissue_mask(save(noisy(image, 3))).mask
    assert mask[12:38, 22:38].all()
    assert not mask[:8].any()
    assert not mask[:, :18].any()


def test_marker_ink_is_no_tissue(save: Save) -> None:
    image = slide_of((245, 245, 245), 1600)
    image[200:600, 200:1400] = PURPLE
    for top, colour in enumerate([(25, 60, 170), (20, 120, 70), (25, 25, 28), (205, 25, 40)]):
        image[700 + 200 * top : 860 + 200 * top, 100:1500] = colour
    mask = tissue_mask(save(noisy(image, 3))).mask
    assert mask[13:37, 13:87].all()
    assert not mask[42:].any()


@pytest.mark.parametrize("colour", [(255, 255, 255), (240, 240, 238), (235, 215, 232), (150, 150, 140)])
def test_a_blank_slide_has_no_tissue(save: Save, colour: tuple[int, int, int]) -> None:
    assert not tissue_mask(save(noisy(slide_of(colour), 3))).mask.any()


@pytest.mark.parametrize("colours", [(PURPLE, PURPLE), (PINK, PURPLE), (PURPLE, (60, 30, 90))])
def test_a_slide_full_of_tissue_is_all_tissue(save: Save, colours: tuple[tuple[int, int, int], ...]) -> None:
    image = slide_of(colours[0])
    image[:400] = colours[1]
    assert tissue_mask(save(noisy(image))).mask.all()


def test_dirt_shadow_and_ink_are_not_tissue(save: Save) -> None:
    image = slide_of((245, 245, 245), 1600)
    image[200:600, 200:600] = PURPLE
    image[:, -90:] = 0  # the scanner's frame
    image[900:1300, 200:600] = 190  # a shadow
    image[800:840, 900:940] = PURPLE  # a speck of 20 µm
    mask = tissue_mask(save(image)).mask
    wanted = np.zeros_like(mask)
    wanted[13:37, 13:37] = True
    assert mask[wanted].all()
    wanted[11:39, 11:39] = True
    assert not mask[~wanted].any()


def test_a_fat_cell_belongs_to_the_tissue_and_a_gap_does_not(save: Save) -> None:
    image = slide_of((245, 245, 245), 1600)
    image[100:1500, 100:1500] = PURPLE
    image[300:420, 300:420] = 250  # 60 µm
    image[800:1300, 800:1300] = 250  # 250 µm
    mask = tissue_mask(save(image)).mask
    assert mask[18:27, 18:27].all()
    assert not mask[54:78, 54:78].any()


def test_otsu_parts_two_classes() -> None:
    values = np.concatenate([np.full(900, 0.1), np.full(100, 0.7)]).astype(np.float32)
    assert 0.1 < otsu(values) <= 0.7


def test_the_share_of_a_square_is_exact(save: Save) -> None:
    mask = np.random.default_rng(0).random((30, 40)) < 0.5
    tissue = TissueMask(mask=mask, slide_size_px=(400, 300))
    fine = np.kron(mask, np.ones((10, 10)))
    origin_xy = np.array([[0, 0], [37, 81], [123, 5], [-20, 250], [390, 290], [500, 0]], dtype=np.float64)
    wanted = []
    for x, y in origin_xy.astype(int):
        part = fine[max(y, 0) : max(y + 53, 0), max(x, 0) : max(x + 53, 0)]
        wanted.append(part.mean() if part.size else 0)
    np.testing.assert_allclose(tissue.share(origin_xy, 53), wanted, atol=1e-9)


def test_cells_of_a_raster_agree_with_their_shares() -> None:
    mask = np.random.default_rng(0).random((31, 43)) < 0.5
    tissue = TissueMask(mask=mask, slide_size_px=(430, 310))
    raster = Raster.over((430, 310), 16.3)
    row, col = np.indices(raster.shape)
    share = tissue.share(raster.centers_xy(row, col) - raster.step_px / 2, raster.step_px)
    np.testing.assert_array_equal(tissue.cells(raster), share >= 0.5)


def grid(size_px: tuple[int, int], stride_px: int = 112) -> TileGrid:
    patches = PatchGrid(tile=TileSpec(), patch_px=16)
    return TileGrid(patches=patches, stride_px=stride_px, slide_size_px=size_px, slide_mpp=0.5)


@pytest.mark.parametrize("stride_px", [224, 112, 32])
def test_a_whole_slide_needs_every_tile_row_by_row(save: Save, stride_px: int) -> None:
    over = grid((500, 300), stride_px)
    tiles = tissue_tiles(over, whole_slide(save(slide_of(PINK)[:300, :500])))
    np.testing.assert_array_equal(tiles, over.first_cells())


def test_tiles_with_too_little_tissue_are_left_out() -> None:
    mask = np.zeros((100, 100), dtype=np.bool_)
    mask[50, 50] = True
    tissue = TissueMask(mask=mask, slide_size_px=(2240, 2240))  # the spot is 1 % of a tile
    assert len(tissue_tiles(grid((2240, 2240), 224), tissue)) == 0
    assert len(tissue_tiles(grid((2240, 2240), 224), tissue, min_share=0.005)) == 1


def test_the_reference_is_spread_evenly_over_the_slide(save: Save) -> None:
    slide, over = save(slide_of(PINK)), grid((40 * 224, 30 * 224))
    everywhere = TissueMask(mask=np.ones((1, 1), dtype=np.bool_), slide_size_px=over.slide_size_px)
    chosen = reference_tiles(slide, over, everywhere, limit=64)
    assert len(np.unique(chosen.index, axis=0)) == 64
    quarters = (chosen.index // 14 // [15, 20]) @ [2, 1]
    assert np.bincount(quarters, minlength=4) == pytest.approx(16, abs=6)
    again = reference_tiles(slide, over, everywhere, limit=64)
    np.testing.assert_array_equal(chosen.index, again.index)


def test_a_very_large_slide_gets_coarser_pixels(save: Save) -> None:
    slide = save(slide_of(PINK)[:300], mpp=8.0)
    picture, mpp = mask_thumbnail(slide, mpp=4.0)
    assert (picture.shape[:2], mpp) == ((300, 800), 8.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("miso.slides.tissue.MOST_PIXELS", 15_000)
        picture, mpp = mask_thumbnail(slide, mpp=8.0)
    assert (picture.shape[:2], mpp) == ((75, 200), 32.0)

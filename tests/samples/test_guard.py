"""The guard names each way in which an image and spots fail to belong together, and lets pairs pass."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from miso.errors import AlignmentError
from miso.geometry import TileSpec
from miso.samples.guard import check_detail, check_image_size, check_on_image, check_on_tissue
from miso.samples.ingest import IngestOptions, fit_to_slide
from miso.samples.spots import Spots
from miso.samples.vendors.section import SmallPicture, VendorSection
from miso.slides import Slide
from miso.slides.quality import slide_quality
from miso.units import Resolution

Save = Callable[..., Slide]
FULL = (1600, 1000)
HIRES = SmallPicture(path=Path("tissue_hires_image.png"), name="hires", size_px=(400, 250), scale=0.25)
CYTASSIST = SmallPicture(path=Path("cytassist_image.tiff"), name="CytAssist", size_px=(300, 320), scale=None)


def section_of(center_xy: np.ndarray, *, full: tuple[int, int] | None = FULL) -> VendorSection:
    n = len(center_xy)
    return VendorSection(
        layout="a test",
        name="S1",
        spots=Spots(
            barcodes=[f"s{i}" for i in range(n)],
            center_xy=np.asarray(center_xy, dtype=np.float64),
            array_xy=np.asarray(center_xy, dtype=np.float64),
            diameter_um=55,
            pitch_um=100,
            counts=csr_matrix(np.ones((n, 2), dtype=np.float32)),
            genes=["A", "B"],
            tables={},
        ),
        resolutions=[Resolution(mpp=0.5, source="lattice pitch of 100 µm")],
        full_size_px=full,
        size_slack_px=2,
        pictures=[HIRES, CYTASSIST],
    )


def spots_in(left: int, top: int, right: int, bottom: int, step: int = 80) -> np.ndarray:
    x, y = np.meshgrid(np.arange(left, right, step), np.arange(top, bottom, step))
    return np.stack([x.ravel(), y.ravel()], axis=1)


@pytest.fixture
def slide(save: Save) -> Slide:
    """Tissue in the lower left quarter of a slide of 1600 × 1000 px."""
    image = np.full((1000, 1600, 3), 245, dtype=np.uint8)
    image[500:960, 40:800] = (170, 100, 160)
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    return save(np.clip(image + noise, 0, 255).astype(np.uint8))


ON_TISSUE = spots_in(100, 560, 760, 920)


def test_the_image_that_spots_were_placed_on_passes(slide: Slide) -> None:
    check_image_size(slide.size_px, "slide.png", section_of(ON_TISSUE))
    assert check_on_tissue(section_of(ON_TISSUE), slide, slide_quality(slide).tissue) == []


def test_a_pixel_of_rounding_is_no_other_image() -> None:
    check_image_size((1602, 999), "slide.tif", section_of(ON_TISSUE))


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((400, 250), "the hires picture"),
        ((300, 320), "the CytAssist picture"),
        ((399, 249), "at 0.249 times its size, the scale of the hires picture"),
        ((800, 500), "a copy at 0.5 times its size; pass the original"),
        ((1000, 1600), "turned by 90°"),
        ((1600, 800), "another image, or a crop of it"),
    ],
)
def test_another_image_is_named(size: tuple[int, int], said: str) -> None:
    with pytest.raises(AlignmentError, match="1600 × 1000 px") as raised:
        check_image_size(size, "x.png", section_of(ON_TISSUE))
    assert said in str(raised.value)


def test_a_small_picture_is_named_even_where_the_full_size_is_unknown() -> None:
    with pytest.raises(AlignmentError, match="the hires picture"):
        check_image_size((400, 250), "x.png", section_of(ON_TISSUE, full=None))
    check_image_size((1234, 567), "x.png", section_of(ON_TISSUE, full=None))


def test_swapped_axes_are_named_when_spots_fall_off_the_image(slide: Slide) -> None:
    tall = spots_in(100, 100, 900, 1500)
    with pytest.raises(AlignmentError, match="with x and y swapped they all fit"):
        check_on_image(section_of(tall), slide)


def test_swapped_axes_are_named_when_spots_stay_on_the_image(slide: Slide) -> None:
    swapped = spots_in(560, 60, 940, 440)  # on glass; (y, x) is tissue
    with pytest.raises(AlignmentError, match=r"% would be with x and y swapped"):
        check_on_tissue(section_of(swapped), slide, slide_quality(slide).tissue)


def test_a_mirrored_image_is_named(slide: Slide) -> None:
    mirrored = ON_TISSUE * (1, -1) + (0, 1000)
    with pytest.raises(AlignmentError, match=r"% would be with y mirrored"):
        check_on_tissue(section_of(mirrored), slide, slide_quality(slide).tissue)


def test_spots_off_a_picture_at_whose_scale_they_fit_name_it(save: Save) -> None:
    image = np.full((300, 500, 3), 200, dtype=np.uint8)
    everywhere = spots_in(10, 10, 1590, 990)
    with pytest.raises(AlignmentError, match="is it the hires picture"):
        check_on_image(section_of(everywhere, full=None), save(image))


def test_a_blank_image_is_not_the_one(save: Save) -> None:
    blank = save(np.full((1000, 1600, 3), 245, dtype=np.uint8))
    with pytest.raises(AlignmentError, match="only 0% of the area under the 45 spots"):
        check_on_tissue(section_of(ON_TISSUE), blank, slide_quality(blank).tissue)


def test_half_of_the_spots_on_glass_is_doubtful_but_allowed(slide: Slide) -> None:
    some = np.concatenate([ON_TISSUE, spots_in(850, 60, 1560, 900)])
    (doubt,) = check_on_tissue(section_of(some), slide, slide_quality(slide).tissue)
    assert "look at alignment.png" in doubt


def test_tiles_made_of_interpolation_are_refused(save: Save) -> None:
    coarse = save(np.full((100, 100, 3), 200, dtype=np.uint8), 6.88)
    with pytest.raises(AlignmentError, match=r"magnify it 13\.8 times") as raised:
        check_detail(coarse, TileSpec(), "Space Ranger 2, Visium (CytAssist)")
    assert "CytAssist instrument" in str(raised.value)
    check_detail(coarse, TileSpec(size_px=32, mpp=6.88))


def test_spots_off_the_image_can_be_left_out(slide: Slide) -> None:
    some = np.concatenate([ON_TISSUE, [[5000, 10], [-3, 10]]])
    fitted = fit_to_slide(section_of(some), slide, IngestOptions(off_image="drop"))
    assert len(fitted.section.spots) == len(ON_TISSUE)
    assert fitted.section.spots.counts.shape == (len(ON_TISSUE), 2)
    assert "2 of 47 spots lie off the image" in fitted.section.spots.notes[-1]


def test_the_lattice_is_believed_over_the_tags_and_the_difference_is_told(slide: Slide) -> None:
    section = replace(section_of(ON_TISSUE), resolutions=[Resolution(mpp=0.25, source="lattice")])
    fitted = fit_to_slide(section, slide, IngestOptions())
    assert slide.mpp == 0.25
    assert "disagree by a factor 2" in fitted.warnings[0]


def test_the_user_s_word_comes_first(slide: Slide) -> None:
    fitted = fit_to_slide(section_of(ON_TISSUE), slide, IngestOptions(slide_mpp=5.0, mpp=2.0))
    assert slide.resolution.source == "--slide-mpp"
    assert "a factor near 10" in fitted.warnings[0]


def test_trusting_the_alignment_does_without_the_comparison(save: Save) -> None:
    blank = save(np.full((1000, 1777, 3), 245, dtype=np.uint8))
    fitted = fit_to_slide(section_of(ON_TISSUE), blank, IngestOptions(trust_alignment=True))
    assert fitted.warnings == []

"""An image that cannot be H&E is named for what it is; dim, framed and tiny H&E passes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from miso.slides import Slide, open_slide
from miso.slides.brightfield import looks_like_he

Save = Callable[..., Slide]
PINK, PURPLE = (225, 170, 200), (130, 80, 150)


def picture(ground: tuple[int, int, int], spots: tuple[int, int, int], size: int = 600) -> NDArray[np.uint8]:
    """Discs on a ground, with noise."""
    image = np.full((size, size, 3), ground, dtype=np.int16)
    y, x = np.mgrid[:size, :size] % 60 - 30
    image[x**2 + y**2 < 15**2] = spots
    noise = np.random.default_rng(0).normal(0, 3, (size, size, 1)) * np.ones(3)  # a grey camera's
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("ground", "spots"),
    [
        ((250, 250, 250), PINK),
        ((150, 150, 140), PURPLE),
        ((120, 122, 118), (90, 40, 100)),
        (PINK, PURPLE),
        ((120, 80, 160), (60, 40, 110)),
        ((240, 240, 240), (60, 60, 130)),
    ],
)
def test_brightfield_passes(save: Save, ground: tuple[int, int, int], spots: tuple[int, int, int]) -> None:
    assert looks_like_he(save(picture(ground, spots))) is None


def test_he_in_a_black_frame_passes(save: Save) -> None:
    image = np.zeros((1000, 1000, 3), dtype=np.uint8)
    image[100:700, 300:900] = picture((245, 245, 245), PURPLE)
    assert looks_like_he(save(image)) is None


def test_a_biopsy_on_a_large_slide_passes(save: Save) -> None:
    image = np.full((2000, 3000, 3), 248, dtype=np.uint8)
    image[500:600, 700:800] = PURPLE
    assert looks_like_he(save(image)) is None


@pytest.mark.parametrize("spots", [(40, 40, 220), (30, 200, 60), (180, 180, 180), (200, 40, 190)])
def test_fluorescence_is_dark(save: Save, spots: tuple[int, int, int]) -> None:
    told = looks_like_he(save(picture((6, 6, 8), spots)))
    assert told is not None
    assert told.startswith("the image is dark (median grey level")
    assert "fluorescence" in told


def test_a_grey_image_has_no_colour(save: Save) -> None:
    assert looks_like_he(save(picture((240, 240, 240), (90, 90, 90)))) == (
        "the image has no colour; MISO reads H&E in colour"
    )


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_is_blank(save: Save, level: int) -> None:
    told = looks_like_he(save(np.full((300, 400, 3), level, dtype=np.uint8)))
    assert told == f"the image is blank (grey level {level} of 255 all over)"


def test_the_resolution_need_not_be_known(tmp_path: Path, save: Save) -> None:
    save(picture(PINK, PURPLE)).close()
    with open_slide(tmp_path / "slide.png") as slide:
        assert not slide.has_resolution
        assert looks_like_he(slide) is None


@pytest.mark.data
@pytest.mark.parametrize(
    "file",
    [
        "wsi/CMU-1-Small-Region.svs",
        "wsi/kidney-48-5.tif",
        "st_toy/image.jpg",
        "visium/mouse_brain_crop/test_img.jpg",
    ],
)
def test_real_slides_pass(real_data: Path, file: str) -> None:
    with open_slide(real_data / file) as slide:
        assert looks_like_he(slide) is None

"""Damaged files: whatever byte is wrong, a slide is refused in one line or read; nothing else is raised."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from miso.errors import SlideError
from miso.slides import open_slide

SAVED = {
    "strips.tif": {},
    "lzw.tif": {"compression": "lzw"},
    "jpeg.tif": {"compression": "jpeg"},
    "pyramid.tif": {
        "compression": "jpeg",
        "tile": True,
        "tile_width": 64,
        "tile_height": 64,
        "pyramid": True,
    },
    "big.tif": {"tile": True, "tile_width": 64, "tile_height": 64, "pyramid": True, "bigtiff": True},
}
REAL = ["CMU-1-Small-Region.svs", "kidney-48-5.tif", "openslidepy_boxes_0.dcm", "openslidepy_small.svs"]
flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=20)
zones = st.sampled_from(["whole", "head", "tail"])
few = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Small sound files, by name."""
    folder = tmp_path_factory.mktemp("sound")
    y, x = np.indices((150, 200))
    image = np.stack([x, y, (x * y) % 256], axis=-1).astype(np.uint8)
    for name, saved in SAVED.items():
        pyvips.Image.new_from_array(image).tiffsave(str(folder / name), **saved)
    tifffile.imwrite(
        folder / "planes.tif",
        np.moveaxis(image, -1, 0),
        photometric="rgb",
        planarconfig="separate",
        tile=(64, 64),
    )
    for name in ("s.jpg", "s.png"):
        Image.fromarray(image).save(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def flip(content: bytes, places: list[tuple[float, int]], zone: str) -> bytes:
    """Flip bits, all over or within 600 bytes of an end, where headers and directories lie."""
    damaged, span = bytearray(content), min(len(content), 600 if zone != "whole" else len(content))
    start = len(content) - span if zone == "tail" else 0
    for place, bit in places:
        damaged[start + int(place * span)] ^= 1 << bit
    return bytes(damaged)


def look(path: Path) -> bool:
    """Read all over a slide; False where it is refused in one line."""
    try:
        with open_slide(path, 0.5) as slide:
            width, height = slide.size_px
            tile = slide.read((0, 0), (min(width, 400), min(height, 400)), 0.5)
            assert tile.shape == (min(height, 400), min(width, 400), 3)
            assert slide.read((width - 60, height - 60), (50, 50), 1.3).dtype == np.uint8
            slide.thumbnail(64)
            return True
    except SlideError as refused:
        said = str(refused)
    assert "\n" not in said
    assert path.name in said
    return False


@pytest.mark.parametrize("name", [*SAVED, "planes.tif", "s.jpg", "s.png"])
@few
@given(places=flips, zone=zones)
def test_flipped_bits_never_crash_a_reader(whole, tmp_path, name, places, zone):
    (tmp_path / name).write_bytes(flip(whole[name], places, zone))
    look(tmp_path / name)


@pytest.mark.parametrize("name", [*SAVED, "planes.tif", "s.jpg", "s.png"])
@few
@given(share=st.floats(0, 0.995))
def test_a_truncated_file_is_refused(whole, tmp_path, name, share):
    content = whole[name]
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    assert not look(tmp_path / name)


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
@settings(few, max_examples=8)
@given(places=flips, zone=zones, share=st.floats(0, 1))
def test_damaged_copies_of_real_slides_are_read_or_refused(real_data, tmp_path, name, places, zone, share):
    content = (real_data / "wsi" / name).read_bytes()
    for damaged in (flip(content, places, zone), content[: int(share * len(content))]):
        (tmp_path / name).write_bytes(damaged)
        look(tmp_path / name)

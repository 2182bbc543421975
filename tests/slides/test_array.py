"""Slides in Zarr stores and .h5ad files: pixels are those that were stored, whatever the axes and chunks."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miso.errors import SlideError
from miso.launch.provenance import fingerprint
from miso.slides import open_slide
from miso.slides.array import ArraySlide, is_stored_image

WIDTH, HEIGHT = 700, 500
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def store(
    path: Path,
    image: np.ndarray = IMAGE,
    axes: str = "cyx",
    levels: int = 3,
    chunk: int = 128,
    **more: object,
) -> Path:
    """An OME-Zarr of format 0.5, (y, x, c) pixels under any axes."""
    group = zarr.open_group(str(path), mode="w")
    datasets = []
    for level in range(levels):
        pixels = image[:: 2**level, :: 2**level]
        arranged = pixels.reshape(pixels.shape + (1,) * (len(axes) - 3))
        order = ["yxc".index(a) if a in "yxc" else 3 + "tz".index(a) % (len(axes) - 3) for a in axes]
        arranged = arranged.transpose(order)
        chunks = tuple(min(chunk, side) for side in arranged.shape)
        array = group.create_array(f"s{level}", shape=arranged.shape, dtype=arranged.dtype, chunks=chunks)
        array[:] = arranged
        scale = [2.0**level if a in "yx" else 1.0 for a in axes]
        datasets.append(
            {"path": f"s{level}", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    kinds = [{"name": a, "type": "space" if a in "zyx" else "channel", **more} for a in axes]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": kinds, "datasets": datasets}]}
    return path


@pytest.fixture
def image(tmp_path):
    return store(tmp_path / "s.zarr" / "images" / "he")


@pytest.mark.parametrize("axes", ["cyx", "yxc", "czyx", "tczyx"])
def test_pixels_are_those_that_were_stored(tmp_path, axes):
    path = store(tmp_path / "i.zarr", axes=axes)
    with open_slide(path, 0.5) as slide:
        assert isinstance(slide, ArraySlide)
        assert [level.size_px for level in slide.levels] == [(700, 500), (350, 250), (175, 125)]
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        np.testing.assert_array_equal(slide.read((90, 40), (300, 200), 0.5), IMAGE[40:240, 90:390])
        np.testing.assert_array_equal(slide.read((0, 0), (350, 250), 1.0), IMAGE[::2, ::2])


@given(
    x=st.integers(-50, 720), y=st.integers(-50, 520), width=st.integers(1, 300), height=st.integers(1, 300)
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_region_is_read_across_chunks_and_white_off_the_image(image, x, y, width, height):
    padded = np.full((HEIGHT + 1000, WIDTH + 1100, 3), 255, np.uint8)
    padded[100 : 100 + HEIGHT, 100 : 100 + WIDTH] = IMAGE
    with open_slide(image, 0.5) as slide:
        expected = padded[100 + y : 100 + y + height, 100 + x : 100 + x + width]
        np.testing.assert_array_equal(slide.read((x, y), (width, height), 0.5), expected)


def test_chunks_are_kept_only_up_to_a_bound(image, monkeypatch):
    monkeypatch.setattr("miso.slides.array.BLOCK_PX", 128)
    monkeypatch.setattr("miso.slides.array.CACHE_BYTES", 3 * 128 * 128 * 2)
    with open_slide(image, 0.5) as slide:
        np.testing.assert_array_equal(slide.read((0, 0), (WIDTH, HEIGHT), 0.5), IMAGE)
        assert sum(block.nbytes for block in slide._kept.values()) <= 3 * 128 * 128 * 2
        assert slide._kept_bytes == sum(block.nbytes for block in slide._kept.values())


def test_a_resolution_that_the_axes_state_is_taken(tmp_path):
    path = store(tmp_path / "i.zarr", unit="micrometer")
    with open_slide(path) as slide:
        assert (slide.mpp, slide.resolution.source) == (1.0, "OME-Zarr")
    with open_slide(store(tmp_path / "j.zarr")) as slide:
        assert not slide.has_resolution


def test_alpha_lies_on_white(tmp_path):
    clear = np.concatenate([IMAGE, np.zeros((HEIGHT, WIDTH, 1), np.uint8)], axis=2)
    clear[:100, :, 3] = 255
    with open_slide(store(tmp_path / "i.zarr", clear), 0.5) as slide:
        np.testing.assert_array_equal(slide.read((0, 0), (50, 100), 0.5), IMAGE[:100, :50])
        assert (slide.read((0, 100), (50, 100), 0.5) == 255).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGE[..., :1], "holds 1 channels of uint8"),
        (IMAGE.astype(np.uint16), "holds 3 channels of uint16.*MISO reads 8-bit colour images"),
        (np.zeros((40, 40, 7), np.uint8), "holds 7 channels"),
    ],
)
def test_what_is_no_8_bit_colour_is_refused(tmp_path, image, message):
    with pytest.raises(SlideError, match=message):
        open_slide(store(tmp_path / "i.zarr", image), 0.5)


def test_a_store_names_the_images_in_it(image):
    zarr.open_group(str(image.parents[1]), mode="a")
    zarr.open_group(str(image.parent), mode="a")
    with pytest.raises(
        SlideError, match=r"is a Zarr store and no image; pass one of its images: s\.zarr/images/he"
    ):
        open_slide(image.parents[1])
    with pytest.raises(SlideError, match="is a bare Zarr array; pass the image group"):
        open_slide(image / "s0")


def test_chunks_that_are_lost_are_counted_and_most_lost_refused(image):
    chunks = sorted(file for file in (image / "s0" / "c").rglob("*") if file.is_file())
    chunks[0].unlink()
    with open_slide(image, 0.5) as slide:
        assert slide.absent_chunks == 1
    for file in chunks[1 : len(chunks) * 2 // 3]:
        file.unlink()
    with pytest.raises(SlideError, match=r"is incomplete: .* chunks are there; fetch it again"):
        open_slide(image, 0.5)


def test_a_damaged_chunk_is_one_line(image):
    chunk = next(file for file in (image / "s0" / "c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:100])
    with open_slide(image, 0.5) as slide, pytest.raises(SlideError, match="'he' is damaged at") as caught:
        slide.read((0, 0), (WIDTH, HEIGHT), 0.5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["zarr.json", "s0/zarr.json"])
def test_damaged_descriptions_are_one_line_or_pixels(image, name, spoil, refusal):
    def read() -> None:
        with open_slide(image, 0.5) as slide:
            slide.read((0, 0), (50, 50), 0.5)

    whole = (image / name).read_bytes()
    for trial in range(60):
        (image / name).write_bytes(spoil(whole, trial))
        assert "\n" not in refusal(read)


def test_a_claim_of_endless_chunks_is_refused(image):
    path = image / "s0" / "zarr.json"
    path.write_text(path.read_text().replace("500", "5000000000").replace("700", "7000000000"))
    with pytest.raises(SlideError, match=r"incomplete|damaged"):
        open_slide(image, 0.5)


def test_a_folder_of_other_things_is_no_stored_image(tmp_path):
    (tmp_path / "readme.txt").touch()
    assert not is_stored_image(tmp_path)
    with pytest.raises(SlideError, match="that is a folder"):
        open_slide(tmp_path)


def test_an_image_in_an_h5ad_is_read_in_place(tmp_path):
    with h5py.File(tmp_path / "s.h5ad", "w") as file:
        file.create_dataset(
            "uns/spatial/S1/images/fullres", data=IMAGE, chunks=(64, 64, 3), compression="gzip"
        )
        file["uns/spatial/is_single"] = True
    with open_slide(tmp_path / "s.h5ad", 0.5) as slide:
        np.testing.assert_array_equal(slide.read((90, 40), (300, 200), 0.5), IMAGE[40:240, 90:390])


def test_an_h5ad_that_is_none_is_one_line(tmp_path):
    (tmp_path / "s.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(SlideError, match=r"is damaged or no \.h5ad"):
        open_slide(tmp_path / "s.h5ad")


def test_the_fingerprint_of_a_store_changes_with_any_of_its_chunks(image):
    before = fingerprint(image)
    assert fingerprint(image) == before
    chunk = next(file for file in (image / "s0" / "c").rglob("*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[50] ^= 1
    chunk.write_bytes(content)
    assert fingerprint(image) != before

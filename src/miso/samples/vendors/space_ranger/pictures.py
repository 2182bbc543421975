"""What lies beside Space Ranger's positions: scale factors, small pictures, the size of the full image."""

import math
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from miso.errors import SampleError
from miso.samples.vendors.files.damage import open_bytes, read_json, shown
from miso.samples.vendors.section import SmallPicture
from miso.units import is_plausible_mpp

HIRES, LOWRES, CYTASSIST = "hires", "lowres", "CytAssist"
AS_HIRES = ("aligned fiducials", "detected tissue", "aligned tissue")
"""Quality-control pictures; most are drawn on the hires picture, those of CytAssist runs on others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleFactors:
    """What `scalefactors_json.json` says, where it does: picture pixels per level-0 pixel, and µm.

    `spot_diameter_fullres` is not among them: it spans 65 to 70 µm, not the 55 µm of a spot.
    """

    hires: float | None = None
    lowres: float | None = None
    bin_um: float | None = None
    mpp: float | None = None
    cytassist: bool = False
    library_number: int | None = None


def read_scale_factors(path: Path | None) -> ScaleFactors:
    """Read the scale factors; without a file nothing is known.

    Raises
    ------
    SampleError
        If the file is damaged, or says what cannot be.
    """
    if path is None:
        return ScaleFactors()
    said = read_json(path)
    mpp = _positive(path, said, "microns_per_pixel")
    if mpp is not None and not is_plausible_mpp(mpp):
        raise SampleError(f"{path} says {mpp:g} microns_per_pixel, which no microscope image has")
    number = said.get("gem_id")
    return ScaleFactors(
        hires=_positive(path, said, "tissue_hires_scalef"),
        lowres=_positive(path, said, "tissue_lowres_scalef"),
        bin_um=_positive(path, said, "bin_size_um"),
        mpp=mpp,
        cytassist="regist_target_img_scalef" in said,
        library_number=number if isinstance(number, int) else None,
    )


def _positive(path: Path, said: Mapping[str, object], key: str) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-6 < value < 1e6:
        raise SampleError(f"{path} says {key} = {shown([value])}; expected a positive number")
    return float(value)


def read_pictures(paths: Mapping[str, Path], factors: ScaleFactors) -> tuple[list[SmallPicture], list[str]]:
    """Return the pictures with their sizes (only heads are read), and notes on those that are damaged."""
    sizes, notes = {}, []
    for name, path in paths.items():
        size_px = _size_px(path)
        if size_px is None:
            notes.append(f"the picture {path.name} is damaged and was passed over")
        else:
            sizes[name] = size_px
    scales = {HIRES: factors.hires, LOWRES: factors.lowres}
    scales |= {name: factors.hires for name in AS_HIRES if _is_as_hires(sizes, name, factors)}
    pictures = [
        SmallPicture(path=paths[name], name=name, size_px=size, scale=scales.get(name))
        for name, size in sizes.items()
    ]
    return pictures, notes


def _is_as_hires(sizes: Mapping[str, tuple[int, int]], name: str, factors: ScaleFactors) -> bool:
    """Whether a picture has the size of the hires picture, which may itself be absent."""
    if name not in sizes or factors.hires is None:
        return False
    if HIRES in sizes:
        return sizes[name] == sizes[HIRES]
    if LOWRES not in sizes or factors.lowres is None:
        return False
    full = [side / factors.lowres for side in sizes[LOWRES]]
    off = (abs(side / factors.hires - there) for side, there in zip(sizes[name], full, strict=True))
    return max(off) <= 1 / factors.lowres


def _size_px(path: Path) -> tuple[int, int] | None:
    try:
        with warnings.catch_warnings(), open_bytes(path) as file:
            warnings.simplefilter("ignore")  # large ones, and odd tags: pixels are not read
            with Image.open(file) as image:
                return image.size
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        SyntaxError,  # what Pillow calls a broken PNG
        LookupError,
        OverflowError,
        RuntimeError,
        MemoryError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ):
        return None


def full_size_px(
    pictures: list[SmallPicture],
) -> tuple[tuple[int, int] | None, float, list[str]]:
    """Return the full-resolution image's (width, height), how far off that may be, and notes.

    Space Ranger shrinks that image until its longer side has a round number of pixels: that side follows
    exactly, the other one to within a pixel of the small picture.
    """
    named = {picture.name: picture for picture in pictures if picture.scale}
    said = [_enlarged(named[name]) for name in (HIRES, LOWRES) if name in named]
    if not said:
        return None, 0.0, []
    (size_px, slack_px), notes = said[0], []
    for other_px, other_slack in said[1:]:
        off = max(abs(a - b) for a, b in zip(size_px, other_px, strict=True))
        if off > slack_px + other_slack:
            notes.append(
                f"by the hires picture the full-resolution image has {size_px[0]} × {size_px[1]} px, by the "
                f"lowres picture {other_px[0]} × {other_px[1]} px"
            )
    return size_px, slack_px, notes


def _enlarged(picture: SmallPicture) -> tuple[tuple[int, int], float]:
    assert picture.scale is not None
    width, height = (round(side / picture.scale) for side in picture.size_px)
    return (width, height), math.ceil(1 / picture.scale)

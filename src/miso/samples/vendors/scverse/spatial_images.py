"""The image of a SpatialData store that spots are placed on, and the affine map from spots to its pixels."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from miso.errors import SampleError, SlideError
from miso.samples.vendors.files.damage import DAMAGE, one_line
from miso.samples.vendors.section import SmallPicture
from miso.slides import open_slide
from miso.slides.array import ArraySlide
from miso.units import Resolution, is_plausible_mpp

SMALL = re.compile(r"hires|lowres|thumbnail|cytassist", re.IGNORECASE)
"""How readers of vendors' folders name pictures that are not the full-resolution image."""
MICRONS = {"micron", "microns", "micrometer", "micrometers", "um", "µm"}
"""Names of coordinate systems whose unit is 1 µm."""

Affine = Float[NDArray[np.float64], "3 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where spots are placed.

    Attributes
    ----------
    affine
        From the spots' own coordinates to level-0 pixels (x, y) of the image.
    path, size_px
        The image, and its (width, height); None where the store has only small pictures, and the spots' own
        coordinates are taken for the pixels of an image elsewhere.
    resolutions
        What coordinate systems in µm say.
    """

    affine: Affine
    path: Path | None = None
    size_px: tuple[int, int] | None = None
    pictures: list[SmallPicture] = field(default_factory=list)
    resolutions: list[Resolution] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def scale(self) -> float:
        """Level-0 pixels per unit of the spots' own coordinates."""
        return _scale(self.affine)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    name: str
    affine: Affine
    size_px: tuple[int, int]
    absent_chunks: int


def choose_image(path: Path, store: Any, region: str) -> Placed:
    """Take the image of the finest scale that shares a coordinate system with the spots.

    Raises
    ------
    SampleError
        If there are several of that scale, or transformations are damaged.
    """
    images, passed_over = _images(path, store, region)
    large = [image for image in images if not SMALL.search(image.name)]
    finest = max((_scale(image.affine) for image in large), default=0.0)
    best = [image for image in large if _scale(image.affine) > 0.99 * finest]
    if len(best) > 1:
        best = [image for image in best if image.name.startswith(region)] or best
    if len(best) > 1:
        names = ", ".join(image.name for image in best)
        raise SampleError(
            f"{path} has {len(best)} images on which {region!r} lies: {names}; which cannot be told"
        )
    chosen = best[0] if best else None
    affine = chosen.affine if chosen else np.eye(3)
    pictures = [
        SmallPicture(
            path=path / "images" / image.name,
            name=image.name,
            size_px=image.size_px,
            scale=_scale(image.affine) / _scale(affine),
        )
        for image in images
        if image is not chosen
    ]
    if chosen is None:
        notes = ["the store has no full-resolution image; spots were left where its shapes have them"]
        return Placed(affine=affine, pictures=pictures, notes=[*notes, *passed_over])
    return Placed(
        affine=affine,
        path=path / "images" / chosen.name,
        size_px=chosen.size_px,
        pictures=pictures,
        resolutions=_in_microns(store.images[chosen.name]),
        notes=[*_incomplete(chosen), *passed_over],
    )


def _images(path: Path, store: Any, region: str) -> tuple[list[_Image], list[str]]:
    found, notes = [], []
    for name in map(str, store.images):
        affine = _between(path, store, store.shapes[region], store.images[name])
        if affine is None:
            continue
        try:
            with open_slide(path / "images" / name) as slide:
                absent = slide.absent_chunks if isinstance(slide, ArraySlide) else 0
                found.append(_Image(name=name, affine=affine, size_px=slide.size_px, absent_chunks=absent))
        except SlideError as err:
            notes.append(f"the image {name} was passed over: {err}")
    return found, notes


def _between(path: Path, store: Any, shapes: Any, image: Any) -> Affine | None:
    """Return the map from shapes to an image's pixels, or None if they share no coordinate system."""
    from spatialdata.transformations import (
        get_transformation,
        get_transformation_between_coordinate_systems,
    )

    try:
        if not set(get_transformation(shapes, get_all=True)) & set(get_transformation(image, get_all=True)):
            return None
        steps = get_transformation_between_coordinate_systems(store, shapes, image)
        affine = np.asarray(steps.to_affine_matrix(("x", "y"), ("x", "y")), dtype=np.float64)
    except (*DAMAGE, AssertionError) as err:
        raise SampleError(f"{path}: a transformation is damaged: {one_line(err)}") from err
    if affine.shape != (3, 3) or not np.isfinite(affine).all() or _scale(affine) < 1e-9:
        raise SampleError(f"{path}: the transformation from spots to the image cannot be: {affine.tolist()}")
    return affine


def _scale(affine: Affine) -> float:
    return float(np.sqrt(abs(np.linalg.det(affine[:2, :2]))))


def _in_microns(image: Any) -> list[Resolution]:
    from spatialdata.transformations import get_transformation

    found = []
    for name, steps in get_transformation(image, get_all=True).items():
        if str(name).lower() in MICRONS:
            mpp = _scale(np.asarray(steps.to_affine_matrix(("x", "y"), ("x", "y")), dtype=np.float64))
            if is_plausible_mpp(mpp):
                found.append(Resolution(mpp=mpp, source=f"coordinate system {name!r}"))
    return found


def _incomplete(image: _Image) -> list[str]:
    n = image.absent_chunks
    return [f"{n} chunks of the image {image.name} are absent and read as black"] if n else []

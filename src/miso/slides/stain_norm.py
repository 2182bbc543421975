"""Stain normalisation: from RGB to RGB as if another laboratory had stained and scanned; white stays white.

A change is fitted once a slide (`fit_reference`) and is the same for every pixel of its tiles.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from miso.errors import SlideError
from miso.slides.open import open_slide
from miso.slides.slide import Slide
from miso.slides.stain_jitter import (
    STRENGTH,
    Images,
    Planes,
    StainJitter,
    by_chunks,
    combine,
    with_normal,
)
from miso.slides.stain_reference import (
    LEAST_DENSITY,
    METHODS,
    TO_LAB,
    TO_LMS,
    Method,
    StainReference,
    default_reference,
    fit_reference,
)

WHITE_GLASS = 253.0
"""Glass from this grey level on is white, which stays white whatever the reference's glass."""

Matrix = Float[NDArray[np.float64], "3 3"]
Column = Float[NDArray[np.float32], "3 1"]


@dataclass(frozen=True, kw_only=True)
class StainTransform:
    """Change pictures of `source` to look like `reference`; both are of one method.

    Macenko: density beyond the glass is split along the source's two stains and the normal of their plane;
    the amounts are scaled so that the strongest places are as strong as the reference's, and laid along its
    stains. What neither stain explains is kept. Reinhard: each axis of lαβ gets the reference's mean and
    standard deviation, fading out towards the glass. The same source and reference change nothing.
    What is brighter than the glass is stretched so that 255 stays 255.
    """

    source: StainReference
    reference: StainReference

    def __post_init__(self) -> None:
        if self.source.method != self.reference.method:
            raise SlideError(
                f"the stain reference {self.reference.name!r} was fitted by {self.reference.method}, not by "
                f"{self.source.method}; pass --stain-norm {self.reference.method}"
            )

    def __call__(self, rgb: Images) -> Images:
        """Change pictures (…, height, width, 3)."""
        return by_chunks(rgb, self._macenko if self.source.method == "macenko" else self._reinhard)

    def _macenko(self, light: Planes) -> Planes:
        source, result = self._glass
        density = np.log(source / np.minimum(light, source))
        return np.asarray(self._beyond_glass(light) * result * np.exp(-combine(density, self._matrix)))

    def _reinhard(self, light: Planes) -> Planes:
        source, result = self._glass
        matrix, shift = self._affine
        share = np.minimum(light / source, 1)  # of the light that the glass lets through
        lms = np.exp(combine(np.log(combine(share, TO_LMS.T)), matrix) + shift)
        change = np.clip(combine(lms, np.linalg.inv(TO_LMS).T), 0, 1) - share
        absorbed = 1 - np.min(share, axis=0)
        change *= np.clip(absorbed / np.float32(1 - 10**-LEAST_DENSITY), 0, 1)
        return np.asarray(self._beyond_glass(light) * result * (share + change))

    def _beyond_glass(self, light: Planes) -> Planes | float:
        """Return a factor for what is brighter than the source's glass, so that 255 stays 255."""
        source, result = self._glass
        if not (light > source).any():
            return 1.0
        room, wanted = (np.log(255 / glass.astype(np.float64)) for glass in (source, result))
        power = np.divide(wanted, room, out=np.zeros((3, 1)), where=room > 1e-9)
        return np.asarray(np.maximum(light / source, 1) ** power.astype(np.float32))

    @cached_property
    def _glass(self) -> tuple[Column, Column]:
        """Light through bare glass of the source, and of the result: the reference's, or white if it is."""
        source = _column(self.source.glass)
        return source, np.where(source >= WHITE_GLASS, np.float32(255), _column(self.reference.glass))

    @cached_property
    def _matrix(self) -> Matrix:
        """From density beyond the source's glass to density beyond the reference's."""
        scale = [*np.asarray(self.reference.strongest) / np.asarray(self.source.strongest), 1.0]
        into = np.linalg.inv(with_normal(np.asarray(self.source.stains)))
        return np.asarray(into @ np.diag(scale) @ with_normal(np.asarray(self.reference.stains)))

    @cached_property
    def _affine(self) -> tuple[Matrix, Column]:
        """Moves lαβ from the source's statistics to the reference's; in the natural logarithm of LMS."""
        scale = np.diag(np.asarray(self.reference.spreads) / np.asarray(self.source.spreads))
        back = np.linalg.inv(TO_LAB)
        shift = back @ (np.asarray(self.reference.means) - scale @ np.asarray(self.source.means))
        return (back @ scale @ TO_LAB).T, _column(np.log(10) * shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class StainChange:
    """What is done to a slide's tiles before they are encoded: normalised, then augmented, or neither."""

    normalise: StainTransform | None = None
    augment: StainJitter | None = None

    def __call__(self, rgb: Images) -> Images:
        """Change pictures (…, height, width, 3); without steps they come back as they are."""
        for step in (self.normalise, self.augment):
            rgb = rgb if step is None else step(rgb)
        return rgb

    @property
    def provenance(self) -> dict[str, Any]:
        """Everything that the change follows from, as plain JSON."""
        said: dict[str, Any] = {"method": "none"}
        if self.normalise is not None:
            source, reference = self.normalise.source, self.normalise.reference
            said = {"method": source.method, "source": _plain(source), "reference": _plain(reference)}
        return said if self.augment is None else {**said, "augment": asdict(self.augment)}


def make_stain_transform(
    slide: Slide,
    method: str = "none",
    reference: Path | str | StainReference | None = None,
    augment_seed: int | None = None,
    *,
    strength: float = STRENGTH,
) -> StainChange:
    """Fit a slide and say what to do with its tiles (`--stain-norm`, `--stain-reference`, `--stain-augment`).

    Parameters
    ----------
    method
        "none", "macenko" or "reinhard".
    reference
        A JSON file of a `StainReference`, or an image to fit; None for the built-in one.
    augment_seed
        Seed of one random change for the whole slide; None for none.

    Raises
    ------
    SlideError
        If the method is unknown, the reference cannot be read or is of another method, or there is too little
        tissue on the slide.
    """
    augment = None
    if augment_seed is not None:
        augment = StainJitter(seed=augment_seed, strength=strength, key=slide.path.name)
    if method == "none":
        if reference is not None:
            raise SlideError("a --stain-reference is of no use without --stain-norm macenko or reinhard")
        return StainChange(augment=augment)
    chosen = _method(method)
    wanted = reference if isinstance(reference, StainReference) else read_reference(reference, chosen)
    source = fit_reference(slide, chosen)
    return StainChange(normalise=StainTransform(source=source, reference=wanted), augment=augment)


def read_reference(path: Path | str | None, method: Method) -> StainReference:
    """Read a reference from JSON, fit it to an image, or take the built-in one for None.

    An image whose resolution is not in the file is taken for one of 0.5 µm per pixel: a fit hardly depends
    on it.
    """
    if path is None:
        return default_reference(method)
    path = Path(path)
    if path.suffix.lower() == ".json":
        try:
            return StainReference.from_json(path.read_text(encoding="utf-8"), repr(path.name))
        except (OSError, UnicodeDecodeError) as err:
            raise SlideError(f"cannot read the stain reference {str(path)!r}: {err}") from err
    with open_slide(path) as slide:
        if slide.has_resolution:
            return fit_reference(slide, method)
    with open_slide(path, 0.5) as slide:
        return fit_reference(slide, method)


def _method(method: str) -> Method:
    for known in METHODS:
        if method == known:
            return known
    raise SlideError(f"no stain normalisation {method!r}: it is one of none, {', '.join(METHODS)}")


def _column(values: ArrayLike) -> Column:
    return np.asarray(values, dtype=np.float32)[:, None]


def _plain(reference: StainReference) -> dict[str, Any]:
    return {key: value for key, value in asdict(reference).items() if value is not None}

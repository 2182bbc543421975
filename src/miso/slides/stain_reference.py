"""How a slide is stained, in a few numbers: Macenko's stain vectors or Reinhard's colour statistics.

Both are fitted once a slide, on tissue spread over all of it. A fit per tile would follow the tile's tissue
(a lymph follicle has hardly any eosin to fit) and take out what the model is to see.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from miso.errors import SlideError
from miso.slides.density import glass_density, optical_density
from miso.slides.mask import SlideMask
from miso.slides.quality import cover, slide_quality
from miso.slides.slide import RGB, Slide
from miso.untrusted.documents import parse_json

Method = Literal["macenko", "reinhard"]
METHODS: tuple[Method, ...] = ("macenko", "reinhard")
Density = Float[NDArray[np.float32], "pixel 3"]
Pair = tuple[float, float]
Triple = tuple[float, float, float]

LEAST_DENSITY = 0.15
"""Length of the density beyond the glass from which a pixel is stained (β of Macenko et al. 2009)."""
ANGLE_PERCENTILE = 1.0
"""The stains are the extreme hues but for this percentage on either side (α of Macenko et al. 2009)."""
STRONGEST_PERCENTILE = 99.0
"""The amount of a stain that stands for its strongest places."""
LEAST_ANGLE_DEG = 14.0
"""Stain vectors closer than this are one stain and its noise; haematoxylin and eosin: 25° to 45°."""
LEAST_PIXELS = 2000
"""With fewer stained pixels nothing is fitted."""
FIT_MPP = 2.0
"""µm per pixel at which tissue is looked at, or the slide's own if coarser: nuclei are still apart."""
FIT_TILES, FIT_TILE_PX = 48, 128
"""At most so many squares of so many pixels, spread evenly over the tissue."""
TO_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
"""From RGB to the cones' responses (Reinhard et al., IEEE CG&A 21, 2001)."""
TO_LAB = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1.0, 1, 1], [1, 1, -2], [1, -1, 0]])
"""From the logarithms (base 10) of these to the decorrelated axes lαβ (the same)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StainReference:
    """How a slide, or an ideal, is stained.

    Attributes
    ----------
    method
        Which of the numbers below hold; those of the other method are None.
    name
        Whose stain it is.
    glass
        Light through bare glass in red, green and blue, at most 255.
    stains, strongest
        Macenko: densities in red, green and blue of haematoxylin and eosin (length 1), and the amount of each
        that 99 % of the stained pixels stay below, in units of optical density (log10).
    means, spreads
        Reinhard: mean and standard deviation of the stained pixels in lαβ, the glass taken for white.
    """

    method: Method
    name: str
    glass: Triple
    stains: tuple[Triple, Triple] | None = None
    strongest: Pair | None = None
    means: Triple | None = None
    spreads: Triple | None = None

    def to_json(self) -> str:
        """Write as one JSON table."""
        return json.dumps({"schema": 1, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str = "the text") -> Self:
        """Read what `to_json` wrote; `source` is how errors call it.

        Raises
        ------
        SlideError
            If it is something else, or its numbers cannot be a stain's.
        """
        try:
            return cls(**_checked(parse_json(text)))
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise SlideError(
                f"{source} is no stain reference of MISO ({type(err).__name__}: {err}); expected is the JSON "
                "of `StainReference.to_json`, or an image to fit"
            ) from err


def default_reference(method: Method) -> StainReference:
    """Return the ideal that slides are brought to unless another is named.

    The mean of fits to three sections of the phantom (seed 0) with neutral dyes, (0.62, 0.70, 0.35) and
    (0.14, 0.93, 0.33), on white glass.
    """
    white = (255.0, 255.0, 255.0)
    if method == "reinhard":
        means, spreads = (-0.3791, -0.0792, 0.0130), (0.2282, 0.0503, 0.0076)
        return StainReference(method=method, name="built-in", glass=white, means=means, spreads=spreads)
    stains = ((0.6126, 0.7077, 0.3520), (0.1937, 0.9211, 0.3376))
    return StainReference(method=method, name="built-in", glass=white, stains=stains, strongest=(1.07, 0.385))


def fit_reference(
    slide: Slide | UInt8[NDArray[np.uint8], "*batch 3"],
    method: Method,
    tissue: SlideMask | None = None,
    name: str | None = None,
) -> StainReference:
    """Fit a slide's (or a picture's) stain.

    Parameters
    ----------
    slide
        A slide is looked at on at most 48 squares of 128 px at 2 µm per pixel, spread over the tissue; a
        picture is used as it is.
    tissue
        Where to look on a slide; by default its tissue without ink and folds.

    Raises
    ------
    SlideError
        If there is too little stained tissue, or one stain only (Macenko).
    """
    if method not in METHODS:
        raise SlideError(f"no stain normalisation {method!r}: it is one of none, {', '.join(METHODS)}")
    if isinstance(slide, Slide):
        name = name or slide.path.name
        glass = glass_density(optical_density(slide.thumbnail(1024)[0]))
        parts = [part.reshape(-1, 3) for part in _look(slide, tissue)]
        pixels = np.concatenate([np.empty((0, 3), dtype=np.uint8), *parts])
    else:
        name, pixels = name or "the picture", np.asarray(slide).reshape(-1, 3)
        glass = glass_density(optical_density(pixels))
    density = optical_density(pixels) - glass
    stained = np.linalg.norm(np.maximum(density, 0), axis=1) > LEAST_DENSITY
    if stained.sum() < LEAST_PIXELS:
        raise SlideError(
            f"too little stained tissue in {name!r} to fit its stain: {stained.sum()} pixels, {LEAST_PIXELS} "
            "are needed; pass --stain-norm none"
        )
    light = _triple(255 * 10.0**-glass)
    if method == "macenko":
        return _macenko(density[stained], name, light)
    return _reinhard(density[stained], name, light)


def to_lab(density: Density) -> Float[NDArray[np.float64], "pixel 3"]:
    """From density beyond the glass to lαβ of the light's share that passes."""
    share = 10.0 ** -np.maximum(density, 0)
    return np.asarray(np.log10(share @ TO_LMS.T) @ TO_LAB.T)


def _look(slide: Slide, tissue: SlideMask | None) -> Iterator[RGB]:
    """Read squares of tissue, spread evenly over it, always the same."""
    if tissue is None:
        quality = slide_quality(slide)
        tissue = SlideMask(mask=quality.tissue.mask & ~quality.fold.mask, slide_size_px=slide.size_px)
    mpp = max(FIT_MPP, slide.mpp)
    side_px = FIT_TILE_PX * mpp / slide.mpp
    origin_xy = cover(slide, side_px)
    share = tissue.share(origin_xy, side_px)
    wanted = origin_xy[(share > 0) & (share >= min(0.5, share.max()))]
    few = np.unique(np.linspace(0, len(wanted) - 1, min(FIT_TILES, len(wanted))).round().astype(np.int64))
    for x, y in wanted[few]:
        yield slide.read((x, y), (FIT_TILE_PX, FIT_TILE_PX), mpp)


def _macenko(density: Density, name: str, glass: Triple) -> StainReference:
    """Find the two stains: extreme hues in the plane of most density (Macenko et al., ISBI 2009)."""
    _, vectors = np.linalg.eigh(density.T.astype(np.float64) @ density)
    plane = vectors[:, [2, 1]] * np.where(vectors[:, [2, 1]].sum(axis=0) < 0, -1, 1)
    along = density @ plane
    angle = np.percentile(np.arctan2(along[:, 1], along[:, 0]), [ANGLE_PERCENTILE, 100 - ANGLE_PERCENTILE])
    stains = np.maximum((plane @ np.stack([np.cos(angle), np.sin(angle)])).T, 0)
    stains /= np.maximum(np.linalg.norm(stains, axis=1, keepdims=True), 1e-9)
    apart = float(np.degrees(np.arcsin(min(float(np.linalg.norm(np.cross(*stains))), 1.0))))
    if apart < LEAST_ANGLE_DEG:
        raise SlideError(
            f"only one stain found in {name!r}: its extreme hues are {apart:.0f}° apart, haematoxylin and "
            f"eosin at least {LEAST_ANGLE_DEG:.0f}°; pass --stain-norm reinhard or none"
        )
    haematoxylin, eosin = stains[np.argsort(-stains[:, 0])]  # haematoxylin absorbs more red
    amounts = density @ np.linalg.pinv(np.stack([haematoxylin, eosin]))
    of_h, of_e = (float(value) for value in np.percentile(amounts, STRONGEST_PERCENTILE, axis=0))
    return StainReference(
        method="macenko",
        name=name,
        glass=glass,
        stains=(_triple(haematoxylin), _triple(eosin)),
        strongest=(of_h, of_e),
    )


def _reinhard(density: Density, name: str, glass: Triple) -> StainReference:
    """Mean and standard deviation in lαβ (Reinhard et al., IEEE CG&A 2001)."""
    lab = to_lab(density)
    spreads = _triple(np.maximum(lab.std(axis=0), 1e-4))
    return StainReference(
        method="reinhard", name=name, glass=glass, means=_triple(lab.mean(axis=0)), spreads=spreads
    )


def _checked(held: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of a stored reference; other numbers than a stain's are a ValueError."""
    method = held["method"]
    if held["schema"] != 1 or method not in METHODS:
        raise ValueError(f"schema {held['schema']} by {method}")
    fields = {"method": method, "name": str(held["name"]), "glass": _numbers(held["glass"], 3, least=1.0)}
    if method == "reinhard":
        return {
            **fields,
            "means": _numbers(held["means"], 3),
            "spreads": _numbers(held["spreads"], 3, least=1e-6),
        }
    haematoxylin, eosin = (_numbers(vector, 3) for vector in held["stains"])
    lengths = np.linalg.norm([haematoxylin, eosin], axis=1)
    apart = np.linalg.norm(np.cross(haematoxylin, eosin))
    if np.abs(lengths - 1).max() > 0.01 or apart < 0.05:
        raise ValueError("its stains are not two different vectors of length 1")
    return {
        **fields,
        "stains": (haematoxylin, eosin),
        "strongest": _numbers(held["strongest"], 2, least=1e-6),
    }


def _numbers(values: Any, count: int, least: float = -np.inf) -> tuple[float, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"{values} is no list of {count} numbers")
    numbers = tuple(float(value) for value in values)
    if len(numbers) != count or not np.isfinite(numbers).all() or min(numbers) < least:
        raise ValueError(f"{values} are not {count} numbers of {least:g} or above")
    return numbers


def _triple(values: NDArray[np.floating]) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue

"""How far tiles and slides lie from those that a model was trained on; 1 is what one in a hundred exceeds.

A tile is summed up as the mean of its patches' features, centred and scaled on its slide, so that a stain
does not count, and the logarithm of their spread, which blur and glass give away. Training tiles make a
Gaussian, and a tile's distance from them is Mahalanobis' (as Lee et al., NeurIPS 2018, use it). What that
cannot see, since each slide is its own measure, is whether a slide as a whole is unlike the others: its
distance is that of the means and spreads of its features from those of training slides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from miso.models.gaussian import Sums, mahalanobis
from miso.models.standardize import EPSILON, FeatureReference

FLAT = 0.1
"""Added to the spread of patches in a tile, in units of that on its slide, before its logarithm is taken."""
SHARE = 0.99
"""Share of unseen training tiles that lie nearer than 1."""
FEWEST = 50
"""Of fewer training tiles nothing is learnt."""

Tiles = Float[NDArray[np.float64], "tile summed"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Novelty:
    """What training tiles and slides are like.

    Attributes
    ----------
    mean, axes, variance, rest
        Of training tiles: their mean, principal axes, the variance along each, and along every other axis.
    far
        The distance that 1 % of training tiles exceed when their patient is left out.
    slide_mean, slide_spread
        Means and spreads of the training slides' references (means and log spreads of features).
    slide_far
        The greatest distance of a training slide from the others.
    """

    mean: Float[NDArray[np.float32], " summed"]
    axes: Float[NDArray[np.float32], "axis summed"]
    variance: Float[NDArray[np.float32], " axis"]
    rest: float
    far: float
    slide_mean: Float[NDArray[np.float32], "2 dim"]
    slide_spread: Float[NDArray[np.float32], "2 dim"]
    slide_far: float

    def of_tiles(self, tiles: Tiles) -> Float[NDArray[np.float32], " tile"]:
        """Distance of each tile (`summed_up`) to the training tiles; beyond 1 it is unlike them."""
        distance = mahalanobis(tiles, self.mean, self.axes, self.variance, self.rest)
        return np.asarray(distance / self.far, dtype=np.float32)

    def of_slide(self, reference: FeatureReference) -> float:
        """Distance of a slide to the training slides; beyond 1 it is unlike them, NaN where there was one."""
        if not self.slide_far > 0:
            return float("nan")
        return _slide_distance(_slide(reference), self.slide_mean, self.slide_spread) / self.slide_far

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what it holds, by name."""
        return {name: np.asarray(getattr(self, name), dtype=np.float32) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Put together what `arrays` took apart.

        Raises
        ------
        KeyError, ValueError
            If something lacks, or does not fit together.
        """
        held = {name: np.asarray(arrays[name], dtype=np.float32) for name in cls.__dataclass_fields__}
        (_, dim), n_axes = held["slide_mean"].shape, len(held["axes"])
        shapes = {"mean": (2 * dim,), "axes": (n_axes, 2 * dim), "variance": (n_axes,)}
        shapes |= {"slide_mean": (2, dim), "slide_spread": (2, dim)}
        for name, shape in {**shapes, **dict.fromkeys(NUMBERS, ())}.items():
            if held[name].shape != shape:
                raise ValueError(f"{name} of what tiles are like has the shape {held[name].shape}")
            if not np.isfinite(held[name]).all() and name != "slide_far":
                raise ValueError(f"{name} of what tiles are like is not finite")
        return cls(**{name: float(value) if name in NUMBERS else value for name, value in held.items()})  # type: ignore[arg-type]


NUMBERS = ("rest", "far", "slide_far")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TilesOfSection:
    """What is looked at of a training section: some of its tiles, summed up, and its reference."""

    tiles: Tiles
    reference: FeatureReference
    part: int


def summed_up(
    patch_features: Float[NDArray[np.float32], "tile patch dim"], reference: FeatureReference
) -> Tiles:
    """Return the mean and the log spread of each tile's patches, centred and scaled on its slide."""
    patches = torch.from_numpy(np.asarray(patch_features, dtype=np.float32))
    variance, mean = torch.var_mean(patches, dim=1, correction=0)
    scale = reference.std.to(patches)
    spread = torch.where(scale > EPSILON, variance.sqrt() / scale.clamp(min=EPSILON), 0.0)
    return torch.cat([reference.apply(mean), (spread + FLAT).log()], dim=1).double().numpy()


def fit_novelty(sections: Sequence[TilesOfSection]) -> Novelty | None:
    """Learn what training tiles are like; None where they are fewer than `FEWEST`.

    How far tiles lie is seen on each part (a patient, say) by what the others are like. Of a single part each
    quarter of the tiles is left out in turn.
    """
    tiles = np.concatenate([section.tiles for section in sections])
    parts = np.repeat([section.part for section in sections], [len(section.tiles) for section in sections])
    if len(tiles) < FEWEST:
        return None
    if len(set(parts.tolist())) < 2:
        parts = np.arange(len(tiles)) * 4 // len(tiles)
    moments = {part: Sums.of(tiles[parts == part]) for part in np.unique(parts).tolist()}
    together = reduce(Sums.__add__, moments.values())
    unseen = [(together - own).gaussian().distance(tiles[parts == part]) for part, own in moments.items()]
    whole = together.gaussian()
    slides = np.stack([_slide(section.reference) for section in sections])
    mean, spread = _slides(slides)
    return Novelty(
        mean=whole.mean.astype(np.float32),
        axes=whole.axes.astype(np.float32),
        variance=whole.variance.astype(np.float32),
        rest=whole.rest,
        far=float(np.quantile(np.concatenate(unseen), SHARE)),
        slide_mean=mean.astype(np.float32),
        slide_spread=spread.astype(np.float32),
        slide_far=_farthest_slide(slides),
    )


# ---- slides

Slides = Float[NDArray[np.floating[Any]], "slide 2 dim"]
OfSlide = Float[NDArray[np.floating[Any]], "2 dim"]
MOST = 10.0
"""Spreads that a single feature of a slide is away at most: one that never varied would count for all."""


def _slide(reference: FeatureReference) -> OfSlide:
    """Return the means of features, and the logarithms of their spreads."""
    mean, std = reference.mean.double().numpy(), reference.std.double().numpy()
    return np.stack([mean, np.log(np.maximum(std, EPSILON))])


def _slides(slides: Slides) -> tuple[OfSlide, OfSlide]:
    """Return the mean of slides and a spread: half their own by feature, half of all features together.

    Means of features are in units of the spread within slides.
    """
    mean = slides.mean(axis=0)
    unit = np.stack([np.exp(mean[1]), np.ones_like(mean[1])])
    variance = ((slides - mean) / unit).var(axis=0)
    spread = np.sqrt((variance + variance.mean(axis=1, keepdims=True)) / 2)
    return mean, np.maximum(spread, 1e-3) * unit


def _slide_distance(slide: OfSlide, mean: OfSlide, spread: OfSlide) -> float:
    away = np.clip((slide - mean) / spread, -MOST, MOST)
    return float(np.sqrt((away**2).mean()))


def _farthest_slide(slides: Slides) -> float:
    """Return the greatest distance of a slide from the others; NaN of fewer than three."""
    if len(slides) < 3:
        return float("nan")
    others = [np.delete(slides, index, axis=0) for index in range(len(slides))]
    return max(_slide_distance(slides[index], *_slides(rest)) for index, rest in enumerate(others))

"""An array laid under a section: array positions and centres in level-0 pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.geometry import Points
from miso.phantom.arrays import ArrayName, SpotArray, hd_barcodes, st_names, visium_barcodes
from miso.phantom.fields import MPP

JITTER_UM = 3.0
"""Standard deviation of a legacy ST spot's place about its site; the other arrays are printed exactly."""
TILT_DEG = 0.5
"""Standard deviation of a Visium array's turn against the picture, beside whole quarter turns."""
MIN_COVER = 0.4
"""Least share of a spot's disc on tissue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Spots, one a row.

    Attributes
    ----------
    names
        Spots as count matrices call them.
    array_xy
        Column and row on the array: from 1 on legacy ST, from 0 on the other arrays.
    refined_xy
        The same, as found on the picture: not whole numbers on legacy ST.
    center_xy
        Centres in level-0 pixels.
    """

    names: NDArray[np.str_]
    array_xy: Int[NDArray[np.int64], "spot 2"]
    refined_xy: Float[NDArray[np.float64], "spot 2"]
    center_xy: Points

    def __len__(self) -> int:
        return len(self.names)

    def take(self, chosen: NDArray[np.bool_]) -> "Lattice":
        """Keep the chosen spots."""
        return Lattice(
            names=self.names[chosen],
            array_xy=self.array_xy[chosen],
            refined_xy=self.refined_xy[chosen],
            center_xy=self.center_xy[chosen],
        )

    def seen_at(self, zoom: int) -> "Lattice":
        """See the same spots on a picture of `zoom` times as many pixels."""
        return Lattice(
            names=self.names,
            array_xy=self.array_xy,
            refined_xy=self.refined_xy,
            center_xy=self.center_xy * zoom,
        )


def lay_array(rng: np.random.Generator, name: ArrayName, array: SpotArray, size_px: int) -> Lattice:
    """As much of an array as fits on a square section of 0.5 µm pixels, with every spot whole."""
    if name == "st":
        pitch_px, diameter_px = array.pitch_um / MPP, array.diameter_um / MPP
        return lay_lattice(rng, size_px, pitch_px, diameter_px, JITTER_UM / MPP)
    lay = lay_hexagons if name == "visium" else lay_bins
    return lay(rng, size_px, array)


def lay_lattice(
    rng: np.random.Generator, size_px: int, pitch_px: float, diameter_px: float, jitter_px: float
) -> Lattice:
    """Legacy ST: as many spots as fit with their whole disc, about the section's centre, row by row."""
    n = int((size_px - diameter_px) // pitch_px) + 1
    x, y = np.meshgrid(np.arange(1, n + 1), np.arange(1, n + 1))
    array = np.stack([x.ravel(), y.ravel()], axis=-1)
    margin = (size_px - (n - 1) * pitch_px) / 2
    refined = array + rng.normal(0, jitter_px / pitch_px, array.shape)
    return Lattice(
        names=st_names(array),
        array_xy=array,
        refined_xy=refined,
        center_xy=margin + (refined - 1) * pitch_px,
    )


def lay_hexagons(rng: np.random.Generator, size_px: int, array: SpotArray) -> Lattice:
    """Visium: columns half a pitch apart, of which a row has every other one; in the vendor's order."""
    turn = np.radians(rng.normal(0, TILT_DEG))
    room_um = (size_px * MPP - array.diameter_um) / (np.cos(turn) + abs(np.sin(turn)))
    step_um = np.array([array.pitch_um / 2, array.pitch_um * np.sqrt(3) / 2])
    columns, rows = _fitting(room_um, step_um, array)
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    sites = np.stack([x.ravel(), y.ravel()], axis=-1)
    sites = sites[sites.sum(axis=1) % 2 == 0]
    sites = sites[np.lexsort((sites[:, 0], sites[:, 1] // 2))]  # two rows at a time, zigzag
    away_um = (sites - np.array([columns - 1, rows - 1]) / 2) * step_um
    turn += rng.integers(4) * np.pi / 2
    center = size_px / 2 + _turned(away_um / MPP, turn)
    return Lattice(
        names=visium_barcodes(sites), array_xy=sites, refined_xy=sites.astype(float), center_xy=center
    )


def lay_bins(rng: np.random.Generator, size_px: int, array: SpotArray) -> Lattice:
    """Visium HD: squares side by side, an even number along each side, not aligned with the pixels."""
    slack_um = array.pitch_um
    columns, rows = _fitting(size_px * MPP - array.diameter_um - slack_um, np.full(2, array.pitch_um), array)
    columns, rows = columns - columns % 2, rows - rows % 2
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    bins = np.stack([x.ravel(), y.ravel()], axis=-1)
    away_um = (bins - np.array([columns - 1, rows - 1]) / 2) * array.pitch_um
    off_px = rng.uniform(-slack_um / 2, slack_um / 2, 2) / MPP
    center = size_px / 2 + off_px + _turned(away_um / MPP, rng.integers(4) * np.pi / 2)
    return Lattice(names=hd_barcodes(bins), array_xy=bins, refined_xy=bins.astype(float), center_xy=center)


def _fitting(room_um: float, step_um: NDArray[np.float64], array: SpotArray) -> tuple[int, int]:
    """Columns and rows that fit between the outermost centres, at most what the array has."""
    columns, rows = (int(room_um // step) + 1 for step in step_um)
    if array.most_xy:
        return min(columns, array.most_xy[0]), min(rows, array.most_xy[1])
    return columns, rows


def _turned(xy: Points, angle: float) -> Points:
    """Turn about the origin, by radians from x towards y."""
    x, y = xy.T
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)

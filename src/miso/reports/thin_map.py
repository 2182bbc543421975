"""A map of which every so many-th cell is read, so that a page's pictures take little memory; NaN unseen."""

import math
from dataclasses import dataclass

from miso.geometry import Raster
from miso.maps import ExpressionMap
from miso.maps.sampling import Plane

MOST_CELLS = 2000
"""Cells along the longer side that are read; pictures have fewer pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinMap:
    """A map and how many cells lie from one that is read to the next."""

    map_: ExpressionMap
    every: int

    @classmethod
    def of(cls, map_: ExpressionMap, most: int = MOST_CELLS) -> "ThinMap":
        """Read a map so thinly that no side has more than `most` cells."""
        return cls(map_=map_, every=math.ceil(max(map_.raster.shape) / most))

    @property
    def raster(self) -> Raster:
        """Where the cells that are read lie; each stands for the cells about it."""
        full = self.map_.raster
        rows, columns = (math.ceil(side / self.every) for side in full.shape)
        return Raster(origin_xy=full.origin_xy, step_px=full.step_px * self.every, shape=(rows, columns))

    @property
    def cell_um(self) -> float:
        """Side of what a cell stands for."""
        return self.map_.pitch_um * self.every

    def gene(self, gene: str) -> Plane:
        """Read a gene."""
        return self.map_.part(gene, self._slice, self._slice)

    def std(self, gene: str) -> Plane | None:
        """Read the spread of a gene, if the map has it."""
        return self.map_.std(gene, self._slice, self._slice)

    @property
    def novelty(self) -> Plane | None:
        """Read how novel tiles are, if the map says so."""
        return self.map_.novelty_part(self._slice, self._slice)

    @property
    def _slice(self) -> slice:
        return slice(None, None, self.every)

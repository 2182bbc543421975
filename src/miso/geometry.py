"""Tiles, patches and rasters on a slide: the only code that converts between frames.

Positions are continuous level-0 pixel coordinates (x, y), origin at the slide's top-left corner: the first
pixel covers [0, 1) × [0, 1) and has its centre at (0.5, 0.5). Arrays of positions end in an axis of length 2.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

Points = Float[NDArray[np.float64], "*batch 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSpec:
    """A square tile of `size_px` pixels at `mpp` µm per pixel, whatever the slide's own resolution."""

    size_px: int = 224
    mpp: float = 0.5

    @property
    def side_um(self) -> float:
        """Length of a side in µm."""
        return self.size_px * self.mpp

    def side_on(self, slide_mpp: float) -> float:
        """Length of a side in level-0 pixels of a slide."""
        return self.side_um / slide_mpp

    def origin_xy(self, center_xy: Points, slide_mpp: float) -> Points:
        """Top-left corners of the tiles centred on `center_xy`, both in level-0 pixels."""
        return np.asarray(center_xy, dtype=np.float64) - self.side_on(slide_mpp) / 2

    def center_xy(self, origin_xy: Points, slide_mpp: float) -> Points:
        """Centres of the tiles whose top-left corners are `origin_xy`, both in level-0 pixels."""
        return np.asarray(origin_xy, dtype=np.float64) + self.side_on(slide_mpp) / 2


def level_origin_xy(center_xy: Points, side_px: float) -> Int[NDArray[np.int64], "*batch 2"]:
    """Corners of tiles on a pyramid level as the original MISO places them, in whole level-0 pixels.

    A centre is cut to its whole pixel, and half of the tile's side (in level-0 pixels) rounded.
    """
    return np.asarray(np.trunc(center_xy) - np.round(side_px / 2), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGrid:
    """The patches of a tile, row-major: patch `row * side + col` lies in that row and column."""

    tile: TileSpec
    patch_px: int

    def __post_init__(self) -> None:
        if self.tile.size_px % self.patch_px:
            raise ValueError(f"patches of {self.patch_px} px do not divide a tile of {self.tile.size_px} px")

    @property
    def side(self) -> int:
        """Patches along a side of the tile."""
        return self.tile.size_px // self.patch_px

    @property
    def n_patches(self) -> int:
        """Patches in the tile."""
        return self.side**2

    @property
    def patch_um(self) -> float:
        """Length of a patch's side in µm."""
        return self.patch_px * self.tile.mpp

    def offsets_um(self) -> Float[NDArray[np.float64], "patch 2"]:
        """Patch centres relative to the tile's centre, (x, y) in µm, row-major."""
        along = (np.arange(self.side) + 0.5) * self.patch_um - self.tile.side_um / 2
        x, y = np.meshgrid(along, along)
        return np.stack([x.ravel(), y.ravel()], axis=-1)

    def centers_xy(self, center_xy: Points, slide_mpp: float) -> Points:
        """Patch centres (…, patch, 2) of the tiles centred on `center_xy` (…, 2), in level-0 pixels."""
        return np.asarray(center_xy, dtype=np.float64)[..., None, :] + self.offsets_um() / slide_mpp

    def disc_weights(
        self, diameter_um: float, subdivisions: int = 16
    ) -> Float[NDArray[np.float32], " patch"]:
        """Share of each patch that lies in the disc about the tile's centre, scaled to sum to 1.

        The share is counted on `subdivisions`² points a patch, or on those nearest to the centre where a disc
        is smaller than that. A disc larger than the tile weights all alike.
        """
        along = (
            np.arange(self.side * subdivisions) + 0.5
        ) * self.patch_um / subdivisions - self.tile.side_um / 2
        squared = along[:, None] ** 2 + along[None, :] ** 2
        inside = squared <= max((diameter_um / 2) ** 2, float(squared.min()))
        blocks = inside.reshape(self.side, subdivisions, self.side, subdivisions)
        share = blocks.mean(axis=(1, 3)).ravel()
        return np.asarray(share / share.sum(), dtype=np.float32)

    def square_weights(self, side_um: float) -> Float[NDArray[np.float32], " patch"]:
        """Share of each patch that lies in the square about the tile's centre, scaled to sum to 1; exact."""
        edges = np.arange(self.side + 1) * self.patch_um - self.tile.side_um / 2
        along = np.diff(np.clip(edges, -side_um / 2, side_um / 2))
        share = np.outer(along, along).ravel()
        return np.asarray(share / share.sum(), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """A regular grid of square cells on a slide.

    `origin_xy` is the centre of cell [0, 0] and `step_px` the distance between neighbouring cells, both in
    level-0 pixels; `shape` is (rows, columns).
    """

    origin_xy: tuple[float, float]
    step_px: float
    shape: tuple[int, int]

    @classmethod
    def over(cls, slide_size_px: tuple[int, int], step_px: float) -> "Raster":
        """Cover a whole slide (width, height), the first cell's corner on the slide's corner."""
        columns, rows = (math.ceil(side / step_px - 1e-6) for side in slide_size_px)
        return cls(
            origin_xy=(step_px / 2, step_px / 2), step_px=step_px, shape=(max(rows, 1), max(columns, 1))
        )

    def centers_xy(self, row: Int[NDArray[np.int64], "*n"], col: Int[NDArray[np.int64], "*n"]) -> Points:
        """Centres of cells, in level-0 pixels."""
        index = np.stack([np.asarray(col), np.asarray(row)], axis=-1)
        return np.asarray(np.asarray(self.origin_xy) + index * self.step_px)

    def cells_of(self, xy: Points) -> Int[NDArray[np.int64], "*n 2"]:
        """(row, column) of the cells that contain the positions; may lie outside `shape`."""
        index = np.floor((np.asarray(xy, dtype=np.float64) - self.origin_xy) / self.step_px + 0.5)
        return np.asarray(index[..., ::-1], dtype=np.int64)

    def contains(self, cells: Int[NDArray[np.int64], "*n 2"]) -> NDArray[np.bool_]:
        """Whether (row, column) pairs lie inside `shape`."""
        return np.asarray(np.all((cells >= 0) & (cells < np.asarray(self.shape)), axis=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """Tiles laid over a slide every `stride_px` tile pixels, and the cells of the map that they fill.

    The grid starts (tile − stride) before the slide's corner: with stride = tile / m every cell, those at the
    slide's borders included, is seen by m² tiles. It is laid once for each of `shifts_px`, so much further
    (up, left). A cell is the largest square of which patches, strides and shifts are whole multiples: where
    grids are shifted by parts of a patch, cells are finer than patches.
    """

    patches: PatchGrid
    stride_px: int
    slide_size_px: tuple[int, int]
    slide_mpp: float
    shifts_px: tuple[tuple[int, int], ...] = ((0, 0),)

    def __post_init__(self) -> None:
        tile = self.patches.tile.size_px
        if not 0 < self.stride_px <= tile:
            raise ValueError(f"stride {self.stride_px} px: tiles of {tile} px lie 1 to {tile} px apart")

    @property
    def cell_px(self) -> int:
        """Side of a cell of the map in tile pixels."""
        return math.gcd(
            self.patches.patch_px, self.stride_px, *(px for shift in self.shifts_px for px in shift)
        )

    @property
    def cell_um(self) -> float:
        """Side of a cell of the map in µm."""
        return self.cell_px * self.patches.tile.mpp

    @property
    def side(self) -> int:
        """Cells along a side of a tile."""
        return self.patches.tile.size_px // self.cell_px

    @property
    def raster(self) -> Raster:
        """The map's cells, from the slide's corner on."""
        return Raster.over(self.slide_size_px, self.cell_um / self.slide_mpp)

    @property
    def slide_tile_px(self) -> tuple[int, int]:
        """(height, width) of the slide in whole tile pixels, a last one in part left out."""
        scale = self.patches.tile.mpp / self.slide_mpp
        width, height = (max(math.floor(side / scale + 1e-6), 1) for side in self.slide_size_px)
        return height, width

    def first_cells(self) -> Int[NDArray[np.int64], "tile 2"]:
        """(row, column) of the first cell of every tile, from top to bottom; negative off the slide."""
        laid = [self._laid(up // self.cell_px, left // self.cell_px) for up, left in self.shifts_px]
        cells = np.concatenate(laid)
        return np.asarray(cells[np.lexsort(cells.T[::-1])])

    def _laid(self, up: int, left: int) -> Int[NDArray[np.int64], "tile 2"]:
        stride, shape = self.stride_px // self.cell_px, self.raster.shape
        starts = (up + self.side - stride, left + self.side - stride)
        rows, cols = (np.arange(-start, cells, stride) for start, cells in zip(starts, shape, strict=True))
        return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatticeFit:
    """How sites of an array lie on a slide: pixel = array · `matrix` + `offset_xy`, in level-0 pixels."""

    matrix: Float[NDArray[np.float64], "2 2"]
    offset_xy: Float[NDArray[np.float64], " 2"]

    @property
    def pitch_px(self) -> float:
        """Distance in level-0 pixels between sites that are one array unit apart: √|det|."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def stretch(self) -> float:
        """How much longer one array unit is along one axis than across it; 1 for rotations and flips."""
        longer, shorter = np.linalg.svd(self.matrix, compute_uv=False)
        return float(longer / shorter)

    @property
    def mirrored(self) -> bool:
        """Whether the array lies face down on the slide."""
        return bool(np.linalg.det(self.matrix) < 0)

    def distance_px(self, array_xy: Points, center_xy: Points) -> Float[NDArray[np.float64], " site"]:
        """How far each site lies from where the lattice has it, in level-0 pixels."""
        off = np.asarray(array_xy) @ self.matrix + self.offset_xy - np.asarray(center_xy)
        return np.asarray(np.hypot(off[:, 0], off[:, 1]))


def fit_lattice(array_xy: Points, center_xy: Points) -> LatticeFit:
    """Fit level-0 pixels to array positions by least squares: any rotation, flip, scale or slight shear.

    Raises
    ------
    ValueError
        With fewer than three sites that are not on one line, on the array or in pixels, since no lattice
        follows from them.
    """
    array, center = np.asarray(array_xy, dtype=np.float64), np.asarray(center_xy, dtype=np.float64)
    if len(array) < 3:
        raise ValueError("the lattice pitch needs at least three spots that are not on one line")
    from_mean, center_mean = array - array.mean(axis=0), center.mean(axis=0)
    spread = from_mean.T @ from_mean
    narrow, wide = np.linalg.eigvalsh(spread)
    if narrow <= 1e-12 * wide:
        raise ValueError("the lattice pitch needs at least three spots that are not on one line")
    matrix = np.linalg.solve(spread, from_mean.T @ (center - center_mean))
    axes_px = np.linalg.svd(matrix, compute_uv=False)
    if axes_px[1] <= 1e-6 * axes_px[0]:
        raise ValueError("the lattice pitch needs pixel positions that are not on one line")
    return LatticeFit(matrix=matrix, offset_xy=center_mean - array.mean(axis=0) @ matrix)


def lattice_pitch_px(array_xy: Points, center_xy: Points) -> float:
    """Distance in level-0 pixels between lattice sites that are one array unit apart; see `fit_lattice`."""
    return fit_lattice(array_xy, center_xy).pitch_px

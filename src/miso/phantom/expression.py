"""Expected molecules a patch of 16 px (8 µm), and the counts that spots catch of them."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import ndimage, sparse

from miso.geometry import Points, Raster
from miso.phantom.cells import KINDS, Nuclei
from miso.phantom.fields import FINE_PX, MPP, Field, block_mean, resize, smooth_field, soft_step
from miso.phantom.genes import FIELD_LOG_SD
from miso.phantom.ground import Ground
from miso.phantom.tissue import Tissue
from miso.samples.spots import SpotShape

PATCH_PX = 16
"""Side of a patch in level-0 pixels (8 µm)."""
FOOTPRINT_UM = 6.0
"""Standard deviation of the Gaussian over which a cell's molecules lie about its nucleus."""
FIELD_UM = 150.0
"""Smoothness of the invisible genes' fields."""

Programs = Float[NDArray[np.float32], "program row col"]


def patch_raster(size_px: int) -> Raster:
    """Lay patches over a section."""
    return Raster.over((size_px, size_px), PATCH_PX)


def tissue_fraction(tissue: Tissue) -> Field:
    """Share of each patch inside the tissue's outline; lumens and fat count as tissue."""
    fine = resize(tissue.outline, tissue.gland_depth.shape)
    return block_mean(soft_step(fine, 0.8), PATCH_PX // FINE_PX)


def express(
    rng: np.random.Generator, tissue: Tissue, nuclei: Nuclei, ground: Ground, n_fields: int
) -> Programs:
    """Amount of each of `PROGRAMS` a patch, then `n_fields` fields that have nothing to do with the picture.

    Cells and areas are what the picture shows. The constant and the fields are the same on glass as on
    tissue: otherwise the outline, which everybody sees, would predict them.
    """
    raster = patch_raster(tissue.size_px)
    block = PATCH_PX // FINE_PX
    fat = block_mean(soft_step(resize(tissue.adipose, ground.eosin.shape), 12), block)
    visible = [
        *_cells(raster, nuclei),
        fat * tissue_fraction(tissue),
        block_mean(ground.collagen, block),
        np.ones(raster.shape, dtype=np.float32),
    ]
    invisible = [_own_field(rng, raster.shape) for _ in range(n_fields)]
    return np.asarray([*visible, *invisible], dtype=np.float32)


def _cells(raster: Raster, nuclei: Nuclei) -> list[Field]:
    """Cells of each kind a patch, smeared over their cytoplasm."""
    cell = raster.cells_of(nuclei.center_xy)
    maps: list[Field] = []
    for kind in range(len(KINDS)):
        count = np.zeros(raster.shape, dtype=np.float32)
        np.add.at(count, tuple(cell[nuclei.kind == kind].T), 1)
        maps.append(ndimage.gaussian_filter(count, FOOTPRINT_UM / (PATCH_PX * MPP), mode="reflect"))
    return maps


def _own_field(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Draw a log-normal field of mean 1."""
    field = smooth_field(rng, shape, FIELD_UM / (PATCH_PX * MPP))
    return np.asarray(np.exp(FIELD_LOG_SD * field - FIELD_LOG_SD**2 / 2), dtype=np.float32)


def spot_shares(raster: Raster, center_xy: Points, diameter_px: float, shape: SpotShape) -> sparse.csr_array:
    """(spot, patch) matrix of the share of each patch, row-major, that lies in a spot."""
    shares = disc_shares if shape == "disc" else square_shares
    return shares(raster, center_xy, diameter_px)


def square_shares(raster: Raster, center_xy: Points, side_px: float) -> sparse.csr_array:
    """(spot, patch) matrix of the share of each patch that lies in an upright square; exact."""
    center = np.asarray(center_xy, dtype=np.float64)
    cells = _cells_about(raster, center, side_px)
    away = np.abs(raster.centers_xy(cells[..., 0], cells[..., 1]) - center[:, None])  # (spot, near, x and y)
    overlap = np.clip((side_px + raster.step_px) / 2 - away, 0, min(side_px, raster.step_px)) / raster.step_px
    return _sparse_shares(raster, cells, overlap[:, :, None, 1] * overlap[:, None, :, 0])


def disc_shares(
    raster: Raster, center_xy: Points, diameter_px: float, subdivisions: int = 8
) -> sparse.csr_array:
    """(spot, patch) matrix of the share of each patch, row-major, that lies in a spot's disc.

    Counted on `subdivisions`² points a patch; what lies off the raster is left out.
    """
    center = np.asarray(center_xy, dtype=np.float64)
    cells = _cells_about(raster, center, diameter_px)
    away = raster.centers_xy(cells[..., 0], cells[..., 1]) - center[:, None]
    sub = ((np.arange(subdivisions) + 0.5) / subdivisions - 0.5) * raster.step_px
    x2, y2 = (((away[..., axis, None] + sub) ** 2)[:, :, None] for axis in (0, 1))
    inside = x2.swapaxes(1, 2)[..., None, :] + y2[..., None] <= (diameter_px / 2) ** 2
    return _sparse_shares(raster, cells, inside.mean(axis=(3, 4)))


def _cells_about(
    raster: Raster, center_xy: Points, diameter_px: float
) -> Int[NDArray[np.int64], "spot near 2"]:
    """Rows and columns of the cells that a spot can reach; may lie off the raster."""
    reach = int(np.ceil(diameter_px / 2 / raster.step_px)) + 1
    return raster.cells_of(center_xy)[:, None] + np.arange(-reach, reach + 1)[:, None]


def _sparse_shares(
    raster: Raster,
    cells: Int[NDArray[np.int64], "spot near 2"],
    share: Float[NDArray[np.float64], "spot row col"],
) -> sparse.csr_array:
    row, col = cells[:, :, None, 0], cells[:, None, :, 1]
    on = (row >= 0) & (row < raster.shape[0]) & (col >= 0) & (col < raster.shape[1])
    share = share * on
    spot, *near = np.nonzero(share)
    patch = (row * raster.shape[1] + col)[spot, *near]
    shape = (len(cells), raster.shape[0] * raster.shape[1])
    return sparse.csr_array((share[spot, *near], (spot, patch)), shape=shape)


def draw_counts(
    rng: np.random.Generator,
    expected: Float[NDArray[np.float64], "spot gene"],
    *,
    depth: float,
    capture_sd: float,
    overdispersion: float = 0.0,
) -> Int[NDArray[np.int64], "spot gene"]:
    """Count molecules: every spot catches a log-normal share of mean 1, every count is Poisson.

    With `overdispersion` φ > 0 counts are negative binomial of variance μ + φ μ².
    """
    capture = np.exp(rng.normal(0, capture_sd, (len(expected), 1)) - capture_sd**2 / 2)
    mean = depth * capture * expected
    if overdispersion > 0:
        mean = mean * rng.gamma(1 / overdispersion, overdispersion, mean.shape)
    return rng.poisson(mean)

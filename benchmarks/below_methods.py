"""What methods say of a phantom section below its spots: spots interpolated, dense tiles, students' maps."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from below_scores import Below, Planes, Said, Spots
from interpolate import interpolate
from miso.encoders import Encoder, load_encoder
from miso.geometry import Points, Raster, TileSpec
from miso.maps.expression_map import ExpressionMap
from miso.maps.super_resolve import super_resolve
from miso.models.miso import MisoModel
from miso.models.patch import PatchModel
from miso.models.standardize import FeatureReference
from miso.samples.neighbors import nearest_spots
from miso.slides import Slide, open_slide
from miso.slides.tissue import tissue_mask
from miso.training.student import (
    RECIPES,
    PatchSection,
    StudentRecipe,
    fit_student,
    patch_weights,
    predict_spots,
)

TILES_A_PITCH = 8
"""Dense tiles from one spot to the next: 25 µm apart where spots are 200 µm apart."""


# ---- interpolated spots


def interpolated(section: Below, spots: Spots, how: str) -> Said:
    """Spread spots over the raster (see `interpolate`)."""
    values = interpolate(section.spots_xy, spots, section.cells_xy, how)
    return Said(planes=_planes(section, values), spots=spots)


def _planes(section: Below, values: Float[NDArray[np.floating], "cell gene"]) -> Planes:
    return np.ascontiguousarray(values.T, dtype=np.float32).reshape(-1, *section.tissue.shape)


# ---- the teacher on dense tiles


def dense_teacher(section: Below, teacher: MisoModel, spots: Spots) -> Said:
    """Let a teacher predict a tile every eighth of the pitch, and interpolate linearly.

    A tile's neighbours are the tissue tiles a whole number of pitches away, so that each of the 64 shifted
    arrays looks like a section's spots; features are scaled over all tiles together.
    """
    sample = section.sample
    with open_slide(Path(sample.manifest["slide"]["path"]), sample.mpp) as slide:
        raster = Raster.over(slide.size_px, sample.manifest["pitch_um"] / sample.mpp / TILES_A_PITCH)
        row, col = np.nonzero(tissue_mask(slide).cells(raster))
        centers = raster.centers_xy(row, col)
        features = _tile_features(slide, centers, sample.grid.tile, _encoder(section))
    array = (row % TILES_A_PITCH) * TILES_A_PITCH + col % TILES_A_PITCH
    neighbors = _neighbors_of_arrays(centers * sample.mpp, array, sample.adata.obsm["neighbors"].shape[1])
    with torch.inference_mode():
        predicted = teacher(features, torch.from_numpy(neighbors)).clamp(min=0).numpy()
    return Said(
        planes=_planes(section, interpolate(centers, predicted, section.cells_xy, "linear")), spots=spots
    )


def _tile_features(slide: Slide, centers: Points, tile: TileSpec, encoder: Encoder) -> Tensor:
    size, parts = (tile.size_px, tile.size_px), []
    for corners in np.array_split(tile.origin_xy(centers, slide.mpp), max(1, len(centers) // 16)):
        pixels = np.stack([slide.read((x, y), size, tile.mpp) for x, y in corners])
        parts.append(encoder.encode(torch.from_numpy(pixels)).cls)
    return torch.cat(parts)


def _neighbors_of_arrays(center_um: Points, array: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """List each tile's nearest ones of its own array; an array of fewer than k tiles repeats its farthest."""
    found = np.empty((len(center_um), k), dtype=np.int64)
    for own in (np.flatnonzero(array == index) for index in np.unique(array)):
        near = own[nearest_spots(center_um[own], k)]
        found[own] = np.pad(near, ((0, 0), (0, k - near.shape[1])), mode="edge")
    return found


# ---- students


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A student: how it is trained, and whether it is told by a teacher or the truth of spots or patches."""

    recipe: StudentRecipe
    told: str = "teacher"


DEFAULT = RECIPES["default"]
STUDENTS = {
    "published student": Entry(recipe=RECIPES["published"]),
    "published student, 16 spots a step, up to 60 epochs": Entry(
        recipe=replace(RECIPES["published"], batch=16, max_epochs=60, patience=10)
    ),
    "labels alone": Entry(recipe=replace(DEFAULT, counts=0.0)),
    "counts alone": Entry(recipe=replace(DEFAULT, counts=1.0)),
    "default student": Entry(recipe=DEFAULT),
    "told the truth of training spots": Entry(recipe=replace(DEFAULT, counts=0.0), told="spots"),
    "told the truth of training patches": Entry(
        recipe=replace(DEFAULT, counts=0.0, batch=512, max_epochs=30), told="patches"
    ),
}


def student_of(
    entry: Entry, train: Sequence[Below], val: Sequence[Below], fold: int, labels: str, kept: Path
) -> PatchModel:
    """Train a student on a fold's training sections, or take the one that was kept of the same recipe.

    Validation sections choose the epoch.
    """
    name = hashlib.sha256(f"{entry} {labels} {fold}".encode()).hexdigest()[:16]
    file, parts = kept / f"{name}.safetensors", [train, val]
    if file.exists():
        dim, n_genes = train[0].sample.patch_features.shape[2], len(train[0].genes)
        model = PatchModel(dim, n_genes, entry.recipe.model).eval()
        model.load_state_dict(load_file(file))
        return model
    one = torch.ones(1)
    model, _ = fit_student(
        *([_told(entry, section, fold, labels) for section in part] for part in parts),
        one if entry.told == "patches" else patch_weights(entry.recipe.model, train[0].sample),
        entry.recipe,
        nonnegative=True,
        seed=0,
        device=torch.device("cpu"),
    )
    kept.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), file)
    return model


def _told(entry: Entry, section: Below, fold: int, labels: str) -> PatchSection:
    if entry.told == "patches":
        return _single_patches(section)
    if entry.told == "spots":
        return section.seen(section.true_spots())
    return section.seen(torch.from_numpy(section.sample.labels(labels).fold(fold)))


def _single_patches(section: Below) -> PatchSection:
    """Return a section whose spots are single patches, with the truth as labels and as measurement."""
    whole, truth = section.seen(torch.empty(0)), section.true_patches()
    known = np.isfinite(truth[:, 0])
    patches = np.asarray(whole.patches).reshape(-1, 1, whole.patches.shape[2])[known]
    return replace(whole, patches=patches, labels=torch.from_numpy(truth[known]), measured=truth[known])


PatchFeatures = Float[NDArray[np.float32], "tile patch dim"]


class Several:
    """Several students that make one map together: a gene of one is called `student/gene`."""

    units, grades, calibration = "molecules a spot", dict[str, str](), None

    def __init__(self, models: Mapping[str, PatchModel], genes: Sequence[str]) -> None:
        self.models = models
        self.genes = tuple(f"{name}/{gene}" for name in models for gene in genes)

    def reference(self, patch_features: PatchFeatures) -> FeatureReference:
        """Sum up a slide."""
        return FeatureReference.of(torch.from_numpy(patch_features))

    @torch.inference_mode()
    def predict_patches(
        self,
        patch_features: PatchFeatures,
        reference: FeatureReference | None = None,
        genes: Sequence[str] | None = None,
    ) -> Float[NDArray[np.float32], "tile patch gene"]:
        """Predict every patch with every student."""
        features = torch.from_numpy(np.ascontiguousarray(patch_features, dtype=np.float32))
        values = torch.cat([model(features, reference) for model in self.models.values()], dim=-1).numpy()
        return values if genes is None else values[..., [self.genes.index(gene) for gene in genes]]

    def moments(
        self,
        patch_features: PatchFeatures,
        reference: FeatureReference | None = None,
        genes: Sequence[str] | None = None,
    ) -> tuple[PatchFeatures, PatchFeatures]:
        """Predict every patch; students of one map say nothing of each other's spread."""
        values = self.predict_patches(patch_features, reference, genes)
        return values, np.zeros_like(values)

    def novelty(
        self, patch_features: PatchFeatures, reference: FeatureReference | None = None
    ) -> Float[NDArray[np.float32], " tile"]:
        """Return NaN: it is not looked at here."""
        return np.full(len(patch_features), np.nan, dtype=np.float32)

    def novelty_of_slide(self, reference: FeatureReference) -> float:
        """Return NaN: it is not looked at here."""
        return float("nan")


def mapped(
    section: Below, models: Mapping[str, PatchModel], weights: Mapping[str, Tensor]
) -> dict[str, Said]:
    """Map a section with students, as `miso super-resolve` does; spots are those of their own tiles."""
    students = Several(models, section.genes)
    with tempfile.TemporaryDirectory() as folder:
        map_ = _map(section, students, Path(folder) / "map.zarr")
        planes = np.stack([map_.over(section.truth.raster, gene) for gene in students.genes])
    found, seen = {}, section.seen(torch.empty(0))
    for (name, model), own in zip(models.items(), np.split(planes, len(models)), strict=True):
        found[name] = Said(planes=own, spots=predict_spots(model, seen, weights[name]))
    return found


def _map(section: Below, students: Several, out: Path) -> ExpressionMap:
    sample, encoder = section.sample, _encoder(section)
    with open_slide(Path(sample.manifest["slide"]["path"]), sample.mpp) as slide:
        tile = sample.grid.tile
        return super_resolve(slide, encoder, students, out, tile=tile, std=False)


def _encoder(section: Below) -> Encoder:
    return load_encoder(section.sample.encoder_id.split("@")[0])

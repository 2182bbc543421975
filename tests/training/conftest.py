"""Four small sections, each of another patient, whose colours carry six genes and not the other two."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_matrix

from miso.encoders import load_encoder
from miso.samples import Spots, open_cohort
from miso.samples.ingest import IngestOptions
from miso.samples.process import process_section
from miso.samples.vendors.section import VendorSection
from miso.slides import open_slide
from miso.training import CohortConfig, TrainConfig
from miso.training.sections import Section, load_section
from miso.units import Resolution

NAMES = ("A1", "B1", "C1", "D1")
GENES = [f"SEEN{i}" for i in range(6)] + ["NULL0", "NULL1"]
COLUMNS, ROWS, PITCH_PX, MPP = 9, 7, 80, 0.5
SLOPES = np.array([[2.0, 0], [1.5, -1], [0, 1.8], [-1.5, 0.5], [1, 1], [-0.5, -1.5], [0, 0], [0, 0]])

WriteCohort = Callable[..., Path]
Configure = Callable[..., TrainConfig]


def colours(rng: np.random.Generator) -> NDArray[np.float64]:
    """Haematoxylin and eosin densities that vary smoothly over a section, (2, height, width)."""
    y, x = np.mgrid[: ROWS * PITCH_PX, : COLUMNS * PITCH_PX] / PITCH_PX
    fields = []
    for _ in range(2):
        waves = [
            np.sin(rng.uniform(-1.2, 1.2) * x + rng.uniform(-1.2, 1.2) * y + rng.uniform(0, 6))
            for _ in "1234"
        ]
        fields.append(0.5 + 0.2 * np.sum(waves, axis=0))
    return np.clip(np.stack(fields), 0.05, 1.2)


def paint(fields: NDArray[np.float64], rng: np.random.Generator) -> Image.Image:
    """Stain a section, each a little stronger or weaker than the next."""
    vectors = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]]) * rng.uniform(0.8, 1.2, (2, 1))
    density = np.einsum("shw,sc->hwc", fields, vectors) + rng.normal(0, 0.02, (*fields.shape[1:], 3))
    return Image.fromarray((255 * 10**-density).clip(0, 255).astype(np.uint8))


def write_one(folder: Path, name: str, counts_seed: int) -> None:
    rng = np.random.default_rng(NAMES.index(name))
    fields = colours(rng)
    image = folder / f"{name}.png"
    paint(fields, rng).save(image)
    array = np.stack(np.meshgrid(np.arange(COLUMNS), np.arange(ROWS)), axis=-1).reshape(-1, 2).astype(float)
    center = (array + 0.5) * PITCH_PX
    at = fields[:, center[:, 1].astype(int), center[:, 0].astype(int)].T - 0.5
    draw = np.random.default_rng([NAMES.index(name), counts_seed])
    counts = draw.poisson(np.exp(2.5 + at @ SLOPES.T + draw.normal(0, 0.1, (len(at), 1))))
    spots = Spots(
        barcodes=[f"{x:.0f}x{y:.0f}" for x, y in array],
        center_xy=center,
        array_xy=array,
        diameter_um=20.0,
        pitch_um=PITCH_PX * MPP,
        counts=csr_matrix(counts.astype(np.float32)),
        genes=GENES,
    )
    section = VendorSection(
        layout="a test",
        name=name,
        spots=spots,
        resolutions=[Resolution(mpp=MPP, source="the test")],
        inputs=[image],
    )
    with open_slide(image) as slide:
        process_section(
            section,
            slide,
            load_encoder("stain"),
            folder / "samples" / name,
            name=name,
            patient=name[0],
            options=IngestOptions(tile_px=64, mpp=MPP),
            knn=37,
        )


@pytest.fixture(scope="session")
def write_cohort(tmp_path_factory: pytest.TempPathFactory) -> WriteCohort:
    """Write the Samples; the sections of `recounted` get other counts, and nothing else is different."""

    @cache
    def write(*recounted: str) -> Path:
        folder = tmp_path_factory.mktemp("cohort")
        for name in NAMES:
            write_one(folder, name, counts_seed=int(name in recounted))
        return folder / "samples"

    return write


@pytest.fixture(scope="session")
def samples(write_cohort: WriteCohort) -> Path:
    """The cohort; look, but do not write."""
    return write_cohort()


@pytest.fixture(scope="session")
def sections(samples: Path) -> list[Section]:
    """The four sections as tensors."""
    cohort = open_cohort(samples)
    return [load_section(sample, cohort, 37, torch.device("cpu")) for sample in cohort.samples.values()]


@pytest.fixture
def configure(samples: Path, tmp_path: Path) -> Configure:
    """A quick run: one fold that trains on A1 and B1, validates on C1 and tests on D1."""

    def make(
        folder: Path = samples, folds: list[dict[str, list[str]]] | None = None, **keys: object
    ) -> TrainConfig:
        one = [{"train": ["A1", "B1"], "val": ["C1"], "test": ["D1"]}]
        splits = tmp_path / "splits.json"
        splits.write_text(json.dumps({"unit": "sample", "folds": folds or one}))
        cohort = CohortConfig(path=str(folder))
        quick = {"max_epochs": 2, "run_dir": str(tmp_path / "run"), "splits": str(splits), "baselines": False}
        return TrainConfig(cohort=cohort, **(quick | {"device": "cpu"} | keys))  # type: ignore[arg-type]

    return make

"""Cohorts larger than memory: read section by section, they give what a cohort in memory gives."""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from miso.samples import Sample, Spots
from miso.samples.neighbors import nearest_spots
from miso.samples.write import annotate, finish_sample, make_manifest
from miso.training import TrainConfig, baselines, sections, train
from miso.training.config import CohortConfig
from miso.training.sections import Held, Section

ONE = 6_000
"""Bytes that one of the sections fits into, and no two."""


def write_sample(folder: Path, index: int, spots: int = 30, dims: int = 10, genes: int = 12) -> None:
    """Write a Sample of random features that carry three programs of its counts."""
    rng, shared = np.random.default_rng([1, index]), np.random.default_rng(0)
    features = rng.standard_normal((spots, dims), dtype=np.float32)
    slopes = shared.standard_normal((6, 3)) @ shared.standard_normal((3, genes)) * 0.2
    array = np.stack(np.divmod(np.arange(spots), 6), axis=1).astype(float)
    made = Spots(
        barcodes=[f"s{i}" for i in range(spots)],
        center_xy=array * 100,
        array_xy=array,
        diameter_um=55.0,
        pitch_um=100.0,
        counts=csr_matrix(rng.poisson(np.exp(features[:, :6] @ slopes + 1).clip(max=50)).astype(np.float32)),
        genes=[f"G{i}" for i in range(genes)],
    )
    name = f"S{index:02d}"
    tile = {"size_px": 224, "mpp": 0.5}
    about = {
        "name": name,
        "patient": name,
        "settings": {"encoder": "random@1", "patch_px": 16, "tile": tile, "inputs": {"a.png": "0"}},
        "resolution": {"mpp": 1.0, "source": "the test"},
        "slide": {"path": "a.png", "size_px": [1, 1]},
    }
    manifest = make_manifest(made, about)
    partial = folder / f".{name}.partial"
    partial.mkdir(parents=True)
    tables = {"tile_features": features, "stain_features": features[:, :6].copy()}
    adata = annotate(made, tables, nearest_spots(made.center_xy, 9), manifest)
    adata.write_h5ad(partial / "adata.h5ad")
    finish_sample(partial, folder / name, manifest)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    for index in range(12):
        write_sample(folder, index)
    return folder


class Alive:
    """Things that are alive, and the most at once."""

    def __init__(self) -> None:
        self.now, self.most, self.ever = 0, 0, 0

    def watch(self, thing: object) -> None:
        self.now, self.ever = self.now + 1, self.ever + 1
        self.most = max(self.most, self.now)
        weakref.finalize(thing, self._gone)

    def _gone(self) -> None:
        self.now -= 1


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> tuple[Alive, Alive]:
    """Watch sections' features and targets, and AnnDatas, as they are read."""
    tensors, files = Alive(), Alive()
    load, read = sections.load_section, Sample._without_the_rest

    def loaded(*given: object, **keys: object) -> Section:
        section = load(*given, **keys)  # type: ignore[arg-type]
        tensors.watch(section.features)
        tensors.watch(section.y)
        return section

    def opened(self: Sample) -> anndata.AnnData:
        adata = read(self)
        files.watch(adata)
        return adata

    monkeypatch.setattr(sections, "load_section", loaded)
    monkeypatch.setattr(Sample, "_without_the_rest", opened)
    return tensors, files


@pytest.fixture
def trained(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train on some sections, validate on one and test on two, with so many bytes of sections in memory."""
    monkeypatch.setattr(baselines, "DRAWS", 2)

    def run(budget: int, n: int, **keys: object) -> Path:
        monkeypatch.setattr(Held, "on", classmethod(lambda cls, device: cls(budget)))
        names = [f"S{index:02d}" for index in range(n + 3)]
        fold = {"train": names[:n], "val": names[n : n + 1], "test": names[n + 1 :]}
        (tmp_path / "splits.json").write_text(json.dumps({"unit": "sample", "folds": [fold]}))
        out = tmp_path / f"run_{budget}_{n}"
        quick = {"splits": str(tmp_path / "splits.json"), "run_dir": str(out), "device": "cpu", "knn": 9}
        of = CohortConfig(path=str(cohort), only=names)
        train(TrainConfig(cohort=of, max_epochs=1, **(quick | keys)))  # type: ignore[arg-type]
        return out

    return run


@pytest.mark.parametrize("preset", ["default", "published"])
def test_with_room_for_one_section_the_run_is_that_of_a_cohort_in_memory(
    trained: Callable[..., Path], preset: str
) -> None:
    keys = {"preset": preset, "baselines": preset == "default"}
    runs = [trained(budget, 3, **keys) for budget in (ONE, 2**30)]
    tables = [pd.read_parquet(run / "metrics.parquet") for run in runs]
    pd.testing.assert_frame_equal(*tables)
    predicted = [anndata.read_h5ad(run / "predictions" / "S05.h5ad").X for run in runs]
    np.testing.assert_array_equal(*predicted)
    assert sorted(tables[0]["sample"].unique()) == ["S04", "S05"]


def test_memory_holds_a_few_sections_however_many_there_are(
    trained: Callable[..., Path], watched: tuple[Alive, Alive]
) -> None:
    tensors, files = watched
    trained(ONE, 9)
    assert tensors.ever > 2 * 12 * 5  # read again and again
    assert tensors.most <= 2 * 4  # the one that is held, the last one, one in use, one being read
    assert files.most <= 2
    assert files.now == 0


BESIDE = {
    "PYTHONPATH": str(Path(__file__).parents[2] / "benchmarks"),
    "MALLOC_ARENA_MAX": "1",  # so that glibc hands back what is freed; how much it hoards is chance
    "MALLOC_MMAP_THRESHOLD_": "65536",
}
CHILD = """
import json, sys
import torch
from memory import peak_mib
from miso.samples import open_cohort
from miso.training import baselines
from miso.training.program_ridge import fit_programs
from miso.training.sections import Held, Sections
baselines.DRAWS = 1
cohort = open_cohort(sys.argv[1])
names = list(cohort.samples)[: int(sys.argv[2])]
every = Sections(cohort, names, 9, torch.device("cpu"), held=Held(int(sys.argv[3])))
fit = fit_programs(every, lambda section: section.features)
for index, section in enumerate(every):
    fit.missed(index, section)
baselines.fit_baselines(every[1:], every[:1], seed=0)
print(json.dumps([peak_mib(), sum(s.n_bytes for s in every) / 2**20]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_peak_memory_does_not_grow_with_the_number_of_sections(tmp_path: Path) -> None:
    for index in range(15):
        write_sample(tmp_path, index, spots=1500, dims=20, genes=500)

    def measure(n: int, held: int = 3_500_000) -> list[float]:
        words = [sys.executable, "-c", CHILD, str(tmp_path), str(n), str(held)]
        done = subprocess.run(words, check=True, capture_output=True, env=os.environ | BESIDE)
        found: list[float] = json.loads(done.stdout)
        return found

    (few, size_of_few), (many, size_of_many) = measure(3), measure(15)
    assert size_of_many - size_of_few > 30
    assert many - few < 15
    everything, _ = measure(15, held=2**40)
    assert everything - few > 25  # so that memory which is held would be seen

"""Finished runs made by hand: Samples of counts with known structure, predictions, and a table of scores."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from miso.samples import Sample, open_sample
from miso.samples.neighbors import nearest_spots
from miso.samples.sample import MANIFEST, SCHEMA
from miso.samples.targets import dense_counts, target_values, targets
from miso.scores.metrics import metrics
from miso.training.folder import RunFolder, prediction
from miso.training.table import COLUMNS

GENES = [f"G{i:02d}" for i in range(12)]
NAMES = ("A1", "A2", "B1", "B2")
SIDE = 6
NOISE = {"miso": 0.4, "ridge+neighbours": 1.0, "stain+ridge": 1.6, "total-count": 0.1, "permutation": 50.0}
"""Models, and how far each is off."""

METRICS = ("pearson", "rmse", "auc_1")

WriteRun = Callable[..., Path]
FOLDS = [
    {"train": ["A2", "B1"], "val": ["B2"], "test": ["A1"]},
    {"train": ["A1", "B2"], "val": ["B1"], "test": ["A2"]},
    {"train": ["A1", "B2"], "val": ["A2"], "test": ["B1"]},
    {"train": ["A2", "B1"], "val": ["A1"], "test": ["B2"]},
]


def section_counts(name: str, genes: Sequence[str]) -> NDArray[np.float32]:
    """Counts whose first genes vary smoothly over the section and the more the earlier the gene; 36 spots."""
    rng = np.random.default_rng(NAMES.index(name))
    x, y = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    field = np.sin(2 * x.ravel() + rng.uniform(0, 1)) + y.ravel()
    slopes = np.linspace(1.5, 0, len(genes))
    return rng.poisson(np.exp(2 + field[:, None] * slopes)).astype(np.float32)


def write_sample(folder: Path, name: str, genes: Sequence[str], encoder: str = "stain@1") -> Sample:
    """Write a Sample folder with all that a benchmark reads of one."""
    counts = section_counts(name, genes)
    adata = anndata.AnnData(
        X=csr_matrix(counts),
        obs=pd.DataFrame({"total_counts": counts.sum(1)}, index=[f"s{i}" for i in range(len(counts))]),
        var=pd.DataFrame(index=pd.Index(genes, dtype=str)),
    )
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2) * 400.0
    adata.obsm["spatial"] = grid
    adata.obsm["neighbors"] = nearest_spots(grid, 7).astype(np.int32)
    settings = {"encoder": encoder, "tile": {"size_px": 224, "mpp": 0.5}, "patch_px": 16, "inputs": {}}
    manifest = {
        "schema": SCHEMA,
        "name": name,
        "patient": name[0],
        "settings": settings,
        "resolution": {"mpp": 0.5, "source": "the test"},
        "spot_diameter_um": 100.0,
    }
    (folder / name).mkdir(parents=True)
    adata.write_h5ad(folder / name / "adata.h5ad")
    (folder / name / MANIFEST).write_text(json.dumps(manifest))
    return open_sample(folder / name)


def write_run_in(
    where: Path,
    folder: str = "run",
    *,
    target: str = "raw",
    preset: str = "default",
    genes: Sequence[str] = GENES,
    folds: list[dict[str, list[str]]] | None = None,
    noise: dict[str, float] | None = None,
    seed: int = 0,
    encoder: str = "stain@1",
) -> Path:
    """Write a finished run, and its Samples in `where / "samples"` where they are not there yet."""
    held = {
        name: open_sample(path)
        if (path := where / "samples" / name).exists()
        else write_sample(where / "samples", name, genes, encoder)
        for name in NAMES
    }
    chosen, run, tables = folds or FOLDS, RunFolder(path=where / folder), []
    for index, fold in enumerate(chosen):
        scored = [
            _score(run, held[name], list(genes), target, index, noise or NOISE, seed) for name in fold["test"]
        ]
        tables.append(pd.concat(scored, ignore_index=True))
        run.write_fold_table(0, index, tables[-1])
    settings = {
        "model": "miso",
        "cohort": {"path": str(where / "samples"), "genes": None},
        "splits": "by hand",
        "target": target,
        "preset": preset,
        "seed": seed,
        "n_repeats": 1,
        "inputs": {"samples": {name: sample.manifest["settings"] for name, sample in held.items()}},
    }
    (run.path / "config.yaml").write_text(yaml.safe_dump({"settings": settings, "miso_version": "0"}))
    splits = {"unit": "sample", "held_apart": "sample", "folds": chosen, "notes": []}
    (run.path / "splits.json").write_text(json.dumps(splits))
    pd.concat(tables, ignore_index=True).to_parquet(run.path / "metrics.parquet", index=False)
    return run.path


class PageReader(HTMLParser):
    """Collects tags, attributes that could load or run something, and the text as a browser shows it."""

    LOADING = ("src", "href", "srcset", "data", "action", "background", "poster", "xlink:href", "formaction")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.loads, self.active, self.text = list[str](), list[str](), list[str](), ""
        self.policy, self.inside = "", dict[str, str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in self.LOADING]
        self.active += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self.text += " " if tag in ("td", "th") else ""

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("style", "script") and self.tags[-1] not in self.inside:
            self.inside[self.tags[-1]] = data
        else:
            self.text += data


@pytest.fixture(scope="session")
def read_page() -> Callable[[str], PageReader]:
    """Read a page after checking that it loads nothing and runs nothing but its own script."""

    def read(page: str) -> PageReader:
        reader = PageReader(page)
        assert all(link.startswith(("data:image/", "#")) for link in reader.loads)
        bare = re.sub(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", "", page)
        assert "://" not in bare
        assert "url(" not in bare
        assert "@import" not in bare
        assert (reader.tags.count("script"), reader.tags.count("style"), reader.active) == (1, 1, [])
        assert not {"link", "iframe", "object", "embed", "base", "form", "video", "audio"} & set(reader.tags)
        hashes = {
            name: b64encode(hashlib.sha256(text.encode()).digest()).decode()
            for name, text in reader.inside.items()
        }
        assert reader.policy == (
            f"default-src 'none'; img-src data:; style-src 'sha256-{hashes['style']}'; "
            f"script-src 'sha256-{hashes['script']}'; base-uri 'none'; form-action 'none'"
        )
        return reader

    return read


@pytest.fixture(scope="session")
def write_run_anywhere() -> WriteRun:
    """Write a run in a folder that the caller names first."""
    return write_run_in


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a run in the test's own folder."""
    return partial(write_run_in, tmp_path)


def _score(
    run: RunFolder,
    sample: Sample,
    genes: list[str],
    target: str,
    fold: int,
    noise: dict[str, float],
    seed: int,
) -> pd.DataFrame:
    measured = target_values(sample, targets[target], genes)
    parts = []
    for number, (model, size) in enumerate(noise.items()):
        rng = np.random.default_rng([seed * (model == "miso"), NAMES.index(sample.name), number])
        values = (measured + measured.std(0) * size * rng.normal(size=measured.shape)).astype(np.float32)
        if model == "miso":
            with_units = prediction(sample, genes, values, "units")
            (run.path / "predictions").mkdir(parents=True, exist_ok=True)
            with_units.write_h5ad(run.path / "predictions" / f"{sample.name}.h5ad")
        sides = {"target": measured, "counts": dense_counts(sample.adata, genes)}
        about = {"repeat": 0, "fold": fold, "sample": sample.name, "model": model, "target": target}
        for metric in (metrics[name] for name in METRICS):
            rows = pd.DataFrame({"gene": genes, "value": metric.score(values, sides[metric.on])})
            parts.append(rows.assign(**about, metric=metric.name)[COLUMNS])
    return pd.concat(parts, ignore_index=True)

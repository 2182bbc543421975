"""What `miso train` makes of its loss and weights, and what it refuses before anything is written."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from miso.errors import ConfigError
from miso.models import load_checkpoint
from miso.models.attention import NetworkConfig
from miso.samples import open_sample
from miso.samples.tables import add_table
from miso.training import TrainConfig, teacher, train

Configure = Callable[..., TrainConfig]
TINY = NetworkConfig(embed_dim=32, attention_dim=16, heads=4)
OF_COUNTS = ("poisson", "negative_binomial")


@pytest.fixture
def quick(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """The published preset with a network of test size."""
    recipe = teacher.RECIPES["published"]
    small = replace(recipe, model=replace(recipe.model, network=TINY), lr=1e-2)
    monkeypatch.setitem(teacher.RECIPES, "published", small)
    return lambda **keys: configure(**{"preset": "published", **keys})


def folder(config: TrainConfig) -> Path:
    return Path(config.run_dir or "")


def weights_file(path: Path, **other: float) -> str:
    genes = [f"SEEN{i}" for i in range(6)] + ["NULL0", "NULL1"]
    rows = {**dict.fromkeys(genes, 1.0), **other}
    path.write_text("gene,weight\n" + "".join(f"{gene},{weight}\n" for gene, weight in rows.items()))
    return str(path)


@pytest.mark.parametrize("loss", OF_COUNTS)
def test_losses_of_counts_carry_what_is_seen_to_a_section_held_out(
    quick: Configure, samples: Path, loss: str
) -> None:
    config = quick(loss=loss, max_epochs=40)
    train(config)
    found = anndata.read_h5ad(folder(config) / "predictions" / "D1.h5ad")
    measured = open_sample(samples / "D1").adata[:, found.var_names].X.toarray()
    seen = found.var_names.str.startswith("SEEN")
    r = [np.corrcoef(found.X[:, g], measured[:, g])[0, 1] for g in np.flatnonzero(seen)]
    assert np.mean(r) > 0.3
    assert found.X.min() > 0  # rates, not floored
    assert 0.6 < np.median(found.X.mean(0) / measured.mean(0)) < 1.6


@pytest.mark.parametrize("loss", OF_COUNTS)
def test_a_checkpoint_keeps_the_link_and_the_scale_of_its_loss(
    quick: Configure, samples: Path, loss: str
) -> None:
    config = quick(loss=loss)
    train(config)
    model = load_checkpoint(folder(config) / "repeat_0_fold_0" / "checkpoint").model
    assert model.config.link == "softplus"
    counts, total = [], []
    for name in ("A1", "B1"):
        adata = open_sample(samples / name).adata
        counts.append(adata.X.toarray())
        total.append(counts[-1].sum(1))
    rate = np.concatenate(counts).sum(0) / np.concatenate(total).sum() * np.concatenate(total).mean()
    np.testing.assert_allclose(model.state_dict()["scale"], rate, rtol=1e-4)
    sample = open_sample(samples / "D1")
    with torch.no_grad():
        again = model(
            torch.from_numpy(sample.adata.obsm["tile_features"]), torch.from_numpy(sample.neighbors(37))
        )
    stored = anndata.read_h5ad(folder(config) / "predictions" / "D1.h5ad").X
    np.testing.assert_allclose(stored, again, rtol=1e-4)


@pytest.mark.parametrize("loss", [None, "cosine", "mse"])
def test_other_losses_have_no_link(quick: Configure, loss: str | None) -> None:
    config = quick(loss=loss, max_epochs=1)
    train(config)
    model = load_checkpoint(folder(config) / "repeat_0_fold_0" / "checkpoint").model
    assert model.config.link == "identity"
    assert "scale" not in model.state_dict()


def test_weights_reach_the_model_and_those_that_are_alike_change_nothing(
    quick: Configure, tmp_path: Path
) -> None:
    files = {"alike": weights_file(tmp_path / "alike.csv")}
    files["unlike"] = weights_file(tmp_path / "unlike.csv", SEEN0=9, NULL0=0, OTHER=3)
    files["reliability"] = "reliability"
    states, told = {}, []
    for name, source in {"none": None, **files}.items():
        config = quick(gene_weights=source, run_dir=str(tmp_path / name), loss="mse")
        train(config, told.append)
        states[name] = load_checkpoint(tmp_path / name / "repeat_0_fold_0" / "checkpoint").model.state_dict()
    difference = {
        name: max(float((state[key] - states["none"][key]).abs().max()) for key in state)
        for name, state in states.items()
    }
    assert difference["alike"] < 1e-3 < min(difference["unlike"], difference["reliability"])
    assert [line for line in told if "not predicted" in line] == [
        f"1 genes of {files['unlike']} are not predicted (first: 'OTHER'); ignored"
    ]


def test_a_run_is_not_resumed_with_other_weights(quick: Configure, tmp_path: Path) -> None:
    config = quick(gene_weights=weights_file(tmp_path / "w.csv"), max_epochs=1)
    train(config)
    weights_file(tmp_path / "w.csv", OTHER=2)
    train(config)  # the same weights of the genes that are predicted
    weights_file(tmp_path / "w.csv", SEEN3=2)
    with pytest.raises(ConfigError, match=r"run with other settings: inputs.gene_weights is \w+, now \w+"):
        train(config)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"loss": "poisson", "target": "log1p"}, "is of molecules and needs target=raw, not target=log1p"),
        ({"loss": "negative_binomial", "preset": "default"}, "loss=negative_binomial needs preset=published"),
        ({"loss": "poison"}, "unknown loss 'poison'; did you mean 'poisson'"),
        ({"gene_weights": "reliability", "preset": "default"}, "gene_weights needs preset=published"),
        ({"gene_weights": "none.csv"}, "no file at none.csv"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    quick: Configure, keys: dict[str, str], said: str
) -> None:
    config = quick(**keys)
    with pytest.raises(ConfigError, match=said) as refused:
        train(config)
    assert "\n" not in str(refused.value)
    assert not folder(config).exists()


def test_reliability_of_a_table_is_refused(
    quick: Configure, write_cohort: Callable[..., Path], tmp_path: Path
) -> None:
    copied = tmp_path / "samples"
    shutil.copytree(write_cohort(), copied)
    for path in copied.iterdir():
        sample = open_sample(path)
        spots = sample.adata.obs_names
        add_table(sample, "cells", pd.DataFrame({"a": np.arange(len(spots)) / 9}, index=spots), "share")
    config = quick(folder=copied, target="cells", gene_weights="reliability")
    with pytest.raises(ConfigError, match="splits molecules, and target=cells is a table; give a file"):
        train(config)
    assert not folder(config).exists()

"""Spots that a table lacks: they are neighbours and are predicted, but nothing is learnt or scored there."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from miso.models import load_checkpoint
from miso.samples import open_sample
from miso.samples.tables import add_table, open_table
from miso.scores.metrics import pearson
from miso.training import TrainConfig, train
from miso.training.baselines import fit_baselines
from miso.training.linear import fit_ridge
from miso.training.program_ridge import fit_programs
from miso.training.sections import Section

LACKING = [3, 17, 40, 41, 62]
KEPT = torch.tensor([i for i in range(63) if i not in LACKING])


def with_gaps(section: Section) -> Section:
    """The section without values in some spots."""
    y = section.y.clone()
    y[LACKING] = torch.nan
    return replace(section, y=y)


def without(section: Section) -> Section:
    """The section as if these spots had never been; its neighbours are nobody's business here."""
    parts = ("features", "stain", "neighbors", "center_um", "total", "y")
    return replace(section, **{part: getattr(section, part)[KEPT] for part in parts})


def features(section: Section) -> Tensor:
    return section.features


def test_a_section_knows_its_spots_and_its_genes(sections: list[Section]) -> None:
    gaps = with_gaps(sections[0])
    assert gaps.measured.all()
    assert torch.equal(torch.arange(63)[gaps.spots], KEPT)
    assert sections[0].spots == slice(None)
    masked = replace(gaps, y=gaps.y.index_fill(1, torch.tensor([2]), torch.nan))
    assert masked.measured.tolist() == [True, True, False, True, True, True, True, True]
    assert torch.equal(torch.arange(63)[masked.spots], KEPT)
    assert replace(gaps, y=torch.full_like(gaps.y, torch.nan)).spots == slice(None)


@pytest.mark.parametrize("n", [1, 3])
def test_programs_are_fitted_as_if_the_spots_were_not_there(sections: list[Section], n: int) -> None:
    gaps = fit_programs([with_gaps(s) for s in sections[:n]], features)
    less = fit_programs([without(s) for s in sections[:n]], features)
    assert gaps.used == less.used
    torch.testing.assert_close(gaps.linear.weight, less.linear.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gaps.linear.bias, less.linear.bias, rtol=1e-3, atol=1e-3)
    missed = gaps.missed(0, with_gaps(sections[0]))
    assert missed[LACKING].isnan().all()
    torch.testing.assert_close(
        missed[KEPT].abs(), less.missed(0, without(sections[0])).abs(), rtol=1e-3, atol=1e-3
    )


def test_ridge_and_its_penalty_are_as_if_the_spots_were_not_there(sections: list[Section]) -> None:
    gaps, less = (
        fit_ridge([of(s) for s in sections[:2]], [of(s) for s in sections[2:3]], features)
        for of in (with_gaps, without)
    )
    assert gaps[1] == less[1]
    torch.testing.assert_close(gaps[0].weight, less[0].weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gaps[0].bias, less[0].bias, rtol=1e-3, atol=1e-3)


def test_baselines_predict_the_spots_and_learn_nothing_there(sections: list[Section]) -> None:
    train_on = [with_gaps(s) for s in sections[:2]]
    models = fit_baselines(train_on, [with_gaps(sections[2])], seed=0)
    for name, draws in models.items():
        for predict in draws:
            assert np.isfinite(predict(with_gaps(sections[3]))).all(), name
    mean = torch.cat([s.y[KEPT] for s in sections[:3]]).mean(0)
    np.testing.assert_allclose(models["mean"][0](sections[3])[5], mean, rtol=1e-5)


@pytest.fixture
def gappy(samples: Path, tmp_path: Path) -> Path:
    """The cohort with a table of what its genes' rates are, and a few spots without a row."""
    shutil.copytree(samples, tmp_path / "samples")
    for path in (tmp_path / "samples").iterdir():
        sample = open_sample(path)
        values = np.log1p(sample.adata.X.toarray()[:, :3])
        table = pd.DataFrame(values, index=sample.adata.obs_names, columns=["a", "b", "c"])
        add_table(sample, "cells", table.drop(table.index[LACKING]), "ln(1 + cells)")
    return tmp_path / "samples"


@pytest.mark.parametrize("preset", ["default", "published"])
def test_a_run_trains_on_a_table_with_gaps_and_predicts_every_spot(
    gappy: Path, configure: Callable[..., TrainConfig], preset: str
) -> None:
    config = configure(folder=gappy, target="cells", preset=preset, baselines=preset == "default")
    train(config)
    run = Path(config.run_dir or "")
    predicted = anndata.read_h5ad(run / "predictions" / "D1.h5ad")
    assert predicted.shape == (63, 3)
    assert np.isfinite(predicted.X).all()
    notes = load_checkpoint(run / "repeat_0_fold_0" / "checkpoint").notes
    assert np.isfinite(notes["programs" if preset == "default" else "validation_r"])
    table = pd.read_parquet(run / "metrics.parquet")
    scored = table[(table["metric"] == "pearson") & (table["model"] == "miso")]["value"]
    measured = open_table(open_sample(gappy / "D1"), "cells").values.to_numpy()
    np.testing.assert_allclose(scored, pearson(predicted.X[KEPT], measured[KEPT]), atol=1e-6)
    if preset == "default":
        assert scored.mean() > 0.5
        others = table[(table["metric"] == "pearson") & ~table["model"].isin(["mean"])]["value"]
        assert others.notna().all()


def test_what_lies_in_the_gaps_changes_nothing(gappy: Path, configure: Callable[..., TrainConfig]) -> None:
    """The counts of spots without a row are another matter than the table."""
    states = []
    for which in ("one", "two"):
        folder = gappy.with_name(which)
        shutil.copytree(gappy, folder)
        if which == "two":
            for name in ("A1", "B1"):
                adata = anndata.read_h5ad(folder / name / "adata.h5ad")
                adata.X[LACKING] = 7
                adata.write_h5ad(folder / name / "adata.h5ad")
        run = gappy.with_name(f"run {which}")
        train(configure(folder=folder, target="cells", run_dir=str(run)))
        states.append(load_checkpoint(run / "repeat_0_fold_0" / "checkpoint").model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])

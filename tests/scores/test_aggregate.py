"""The benchmark's order of means by hand, undefined values counted, and pooling as what it is."""

import numpy as np
import pandas as pd
import pytest

from miso.errors import MisoError
from miso.scores.aggregate import benchmark_mean, gene_means, pooled_pearson
from miso.scores.metrics import pearson


def row(
    repeat: int, fold: int, sample: str, gene: str, value: float, model: str = "miso"
) -> dict[str, object]:
    about = {"repeat": repeat, "fold": fold, "sample": sample, "model": model, "gene": gene}
    return {**about, "target": "raw", "metric": "pearson", "value": value}


TABLE = pd.DataFrame(
    [
        row(0, 0, "A1", "G", 0.9),
        row(0, 0, "A2", "G", 0.1),
        row(0, 0, "A3", "G", 0.2),  # fold 0: 0.4
        row(0, 1, "B1", "G", 0.8),  # fold 1: 0.8, so repeat 0: 0.6
        row(1, 0, "A1", "G", 0.1),
        row(1, 1, "B1", "G", np.nan),  # repeat 1: 0.1
    ]
)


def test_sections_are_averaged_in_their_fold_before_folds_and_folds_before_repeats() -> None:
    assert gene_means(TABLE).loc["G", "miso"] == pytest.approx((0.6 + 0.1) / 2)
    flat, by_fold = TABLE["value"].mean(), (0.4 + 0.8 + 0.1) / 3
    assert abs(flat - 0.35) > 0.01  # the other orders give other numbers
    assert abs(by_fold - 0.35) > 0.01


def test_genes_come_last_and_what_is_undefined_is_counted() -> None:
    more = pd.DataFrame(
        [
            row(0, 0, "A1", "H", -0.2),
            row(0, 0, "A1", "NEVER", np.nan),
            row(0, 0, "A1", "G", 0.5, model="a floor"),
        ]
    )
    found = benchmark_mean(pd.concat([TABLE, more]))
    assert list(found.index) == ["miso", "a floor"]
    assert found.loc["miso", "mean"] == pytest.approx((0.35 - 0.2) / 2)
    assert found.loc["miso", ["undefined", "of", "n_genes", "n_sections"]].tolist() == [2, 8, 2, 4]
    assert found.loc["a floor", ["mean", "undefined", "of", "n_genes", "n_sections"]].tolist() == [
        0.5,
        0,
        1,
        1,
        1,
    ]


def test_a_model_without_a_defined_value_has_no_mean_rather_than_0() -> None:
    found = benchmark_mean(pd.DataFrame([row(0, 0, "A1", "G", np.nan)]))
    assert np.isnan(found.loc["miso", "mean"])
    assert found.loc["miso", "n_genes"] == 0


def test_no_rows_are_no_models() -> None:
    assert benchmark_mean(TABLE.iloc[:0]).empty


def test_scores_of_several_metrics_are_not_averaged() -> None:
    with pytest.raises(MisoError, match="scores of one metric can be averaged, and there are pearson, rmse"):
        gene_means(pd.concat([TABLE, TABLE.assign(metric="rmse")]))


def test_pooling_rewards_the_level_of_a_section_and_the_mean_of_sections_does_not() -> None:
    rng = np.random.default_rng(0)
    level = {"A": 0.0, "B": 100.0}
    predicted = {name: at + rng.normal(size=(50, 2)) for name, at in level.items()}
    measured = {name: at + rng.normal(size=(50, 2)) for name, at in level.items()}
    assert (pooled_pearson(predicted, measured) > 0.99).all()
    assert max(np.abs(pearson(predicted[name], measured[name])).max() for name in level) < 0.5
    turned = {name: measured[name] for name in ("B", "A")}
    np.testing.assert_allclose(pooled_pearson(predicted, turned), pooled_pearson(predicted, measured))


def test_pooling_needs_the_same_sections_on_both_sides() -> None:
    values = np.ones((3, 2))
    with pytest.raises(MisoError, match="predictions are of A and measurements of A, B"):
        pooled_pearson({"A": values}, {"A": values, "B": values})
    with pytest.raises(MisoError, match="no section"):
        pooled_pearson({}, {})

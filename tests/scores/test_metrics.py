"""Every registered metric keeps the same promises, and the docs list it as it is."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.errors import MisoError
from miso.scores import columns
from miso.scores.metrics import Metric, mean_pearson, metrics, pearson, rmse

NAMES = [
    *("auc_0", "auc_1", "auc_3", "jensen_shannon", "mae", "mutual_information", "nrmse_range", "nrmse_sd"),
    *("pearson", "rmse", "spearman", "ssim"),
]
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
each = pytest.mark.parametrize("metric", [metrics[name] for name in NAMES], ids=NAMES)


def pair(seed: int, spots: int = 40, genes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    measured = rng.poisson(rng.gamma(1, 2, genes), (spots, genes)).astype(np.float32)
    return (measured + rng.normal(1, 2, measured.shape)).astype(np.float32), measured


def test_the_names_are_those_that_are_promised() -> None:
    assert list(metrics) == NAMES
    assert [name for name in NAMES if metrics[name].on == "counts"] == ["auc_0", "auc_1", "auc_3"]
    assert all(metrics[name].name == name for name in NAMES)
    assert callable(pearson)
    assert callable(rmse)
    assert callable(mean_pearson)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(MisoError, match="unknown metric 'pearsn'; did you mean 'pearson'"):
        metrics["pearsn"]


@each
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_spots_does_not_matter(metric: Metric, seed: int) -> None:
    predicted, measured = pair(seed)
    order = np.random.default_rng(seed).permutation(len(measured))
    np.testing.assert_allclose(
        metric.score(predicted[order], measured[order]), metric.score(predicted, measured), atol=1e-9
    )


@each
def test_genes_are_scored_one_by_one_whatever_the_block(metric: Metric, monkeypatch) -> None:
    predicted, measured = pair(3)
    whole = metric.score(predicted, measured)
    assert whole.shape == (6,)
    assert whole.dtype == np.float64
    for gene in range(6):
        alone = metric.score(predicted[:, [gene]], measured[:, [gene]])
        np.testing.assert_allclose(alone, whole[[gene]], rtol=1e-12)
    monkeypatch.setattr(columns, "BLOCK", 80)
    np.testing.assert_allclose(metric.score(predicted, measured), whole, rtol=1e-12)


@each
def test_nothing_to_score_and_what_is_not_finite_are_nan_without_a_warning(metric: Metric) -> None:
    predicted, measured = pair(4)
    fine = metric.score(predicted, measured)
    assert np.isnan(metric.score(predicted[:0], measured[:0])).all()
    assert metric.score(predicted[:, :0], measured[:, :0]).shape == (0,)
    assert metric.score(predicted[:1], measured[:1]).shape == (6,)
    measured[3, 1], predicted[5, 2] = np.nan, np.inf
    damaged = metric.score(predicted, measured)
    assert np.isnan(damaged[[1, 2]]).all()
    np.testing.assert_array_equal(damaged[[0, 3, 4, 5]], fine[[0, 3, 4, 5]])


@each
def test_constant_sides_warn_of_nothing_and_score_no_perfect_value(metric: Metric) -> None:
    predicted, measured = pair(5)
    zero = np.zeros_like(measured)
    for p, m in ((zero, measured), (predicted, zero), (zero, zero), (zero + 0.1, measured)):
        value = metric.score(p, m)
        perfect = 1 if metric.better == "high" else 0
        assert not (value == perfect).any() or (p is zero and m is zero and metric.name in ("rmse", "mae"))


@each
def test_a_perfect_prediction_is_the_best_there_is(metric: Metric) -> None:
    predicted, measured = pair(6)
    best, other = metric.score(measured, measured), metric.score(predicted, measured)
    np.testing.assert_allclose(best[np.isfinite(best)], 1 if metric.better == "high" else 0, atol=1e-9)
    assert np.nanmean(other) < np.nanmean(best) if metric.better == "high" else np.nanmean(other) > 0.01


@each
def test_sides_of_different_shape_are_refused_in_one_line(metric: Metric) -> None:
    predicted, measured = pair(7)
    with pytest.raises(MisoError, match=r"shape \(40, 5\) .* shape \(40, 6\)"):
        metric.score(predicted[:, :5], measured)
    with pytest.raises(MisoError, match="spots × genes"):
        metric.score(predicted[:, 0], measured[:, 0])


@each
def test_a_section_of_the_benchmark_takes_a_fraction_of_a_second(metric: Metric) -> None:
    predicted, measured = pair(8, spots=180, genes=785)
    start = time.process_time()
    metric.score(predicted, measured)
    assert time.process_time() - start < 1  # 5 to 25 ms on an idle core


def docs_table() -> str:
    """The table that docs/metrics.md holds."""
    lines = ["| metric | better | definition | undefined (NaN) | source |", "|---|---|---|---|---|"]
    for name in metrics:
        m = metrics[name]
        scored = " Scored on counts." if m.on == "counts" else ""
        lines.append(f"| `{m.name}` | {m.better} | {m.definition}{scored} | {m.undefined} | {m.source} |")
    return "\n".join(lines)


def test_the_docs_list_every_metric_as_it_is() -> None:
    assert docs_table() in DOCS.read_text(), (
        f"docs/metrics.md is out of date; its table is now\n{docs_table()}"
    )

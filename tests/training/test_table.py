"""The tidy table of a run: every metric a row, undefined kept, and what the summary says of it."""

import numpy as np
import pandas as pd
import pytest

from miso.scores.metrics import metrics
from miso.training.run import empty_table
from miso.training.table import COLUMNS, per_gene, score_rows, summarize

ABOUT = {"repeat": 1, "fold": 2, "sample": "A1", "model": "miso", "target": "raw"}


def sides() -> tuple[np.ndarray, np.ndarray]:
    x = np.arange(10, dtype=np.float32)
    return np.stack([x, x], axis=1), np.stack([x, np.ones_like(x)], axis=1)


def test_the_table_of_a_section_is_tidy_and_keeps_undefined_values() -> None:
    predicted, measured = sides()
    table = score_rows(predicted, measured, ["G", "FLAT"], **ABOUT)
    assert list(table) == COLUMNS
    assert {"repeat", "fold", "sample", "gene", "target", "metric", "value"} <= set(COLUMNS)
    values = table.set_index(["metric", "gene"])["value"]
    assert values["pearson", "G"] == pytest.approx(1)
    assert np.isnan(values["pearson", "FLAT"])
    assert values["rmse", "FLAT"] == pytest.approx(np.sqrt(((predicted[:, 0] - 1) ** 2).mean()))
    assert table[["repeat", "fold", "sample"]].drop_duplicates().to_numpy().tolist() == [[1, 2, "A1"]]


def test_every_metric_has_rows_and_those_on_counts_where_there_are_counts() -> None:
    predicted, measured = sides()
    without = score_rows(predicted, measured, ["G", "FLAT"], **ABOUT)
    table = score_rows(predicted, np.log1p(measured), ["G", "FLAT"], counts=measured, **ABOUT)
    assert set(table["metric"]) == set(metrics)
    assert set(table["metric"]) - set(without["metric"]) == {"auc_0", "auc_1", "auc_3"}
    values = table.set_index(["metric", "gene"])["value"]
    assert values["auc_3", "G"] == 1  # counts above 3, though no logarithm is
    assert np.isnan(values["auc_3", "FLAT"])
    assert not table.duplicated(["metric", "gene"]).any()


def test_of_several_draws_the_mean_r_of_those_that_have_one_is_kept() -> None:
    predicted, measured = sides()
    further = [-predicted, predicted, np.ones_like(predicted)]
    alone = score_rows(predicted, measured, ["G", "FLAT"], counts=measured, **ABOUT)
    table = score_rows(predicted, measured, ["G", "FLAT"], counts=measured, further=further, **ABOUT)
    values = table.set_index(["metric", "gene"])["value"]
    assert values["pearson", "G"] == pytest.approx(1 / 3)
    assert np.isnan(values["pearson", "FLAT"])
    others = table["metric"] != "pearson"
    pd.testing.assert_frame_equal(table[others], alone[others])  # of the first draw


def row(sample: str, gene: str, value: float, model: str = "miso") -> dict[str, object]:
    about = {"repeat": 0, "fold": 0, "sample": sample, "model": model, "gene": gene}
    return {**about, "target": "raw", "metric": "pearson", "value": value}


def test_a_summary_is_the_mean_over_genes_and_counts_what_is_undefined() -> None:
    table = pd.DataFrame(
        [
            row("A1", "G", 0.5),
            row("A2", "G", 0.3),
            row("A1", "H", np.nan),
            row("A2", "H", -0.2),
            row("A1", "NEVER", np.nan),
            row("A2", "NEVER", np.nan),
            row("A1", "G", 0.1, model="other"),
        ]
    )
    other_metric = table.assign(metric="rmse", value=7.0)
    summary = summarize(pd.concat([table, other_metric]))
    assert list(summary) == ["miso", "other"]
    assert summary["miso"] == {
        "pearson": pytest.approx((0.4 - 0.2) / 2),
        "pearson_by_sample": {"A1": pytest.approx(0.5), "A2": pytest.approx(0.05)},
        "undefined": 3,
        "of": 6,
    }
    assert summary["other"]["pearson"] == pytest.approx(0.1)
    assert per_gene(pd.concat([table, other_metric]), "rmse").loc["G", "miso"] == 7


def test_nothing_defined_is_no_number_rather_than_zero() -> None:
    summary = summarize(pd.DataFrame([row("A1", "G", np.nan)]))
    assert summary["miso"]["pearson"] is None
    assert summary["miso"]["pearson_by_sample"] == {"A1": None}


def test_a_run_without_test_sections_has_nothing_to_summarize() -> None:
    assert summarize(empty_table()) == {}

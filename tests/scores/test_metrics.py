"""Agreement per gene: golden against scipy, and undefined is NaN and counted, never 0."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from miso.scores.metrics import mean_pearson, pearson, rmse
from miso.training.table import COLUMNS, per_gene, score_rows, summarize


def test_r_is_scipys() -> None:
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(3, 2, (2, 40, 6)).astype(np.float32)
    measured[:, 0] += 100 * predicted[:, 0] + 1e4
    expected = [stats.pearsonr(predicted[:, g], measured[:, g]).statistic for g in range(6)]
    np.testing.assert_allclose(pearson(predicted, measured), expected, atol=1e-6)


def test_r_does_not_care_for_scale_and_rmse_does() -> None:
    rng = np.random.default_rng(1)
    predicted, measured = rng.poisson(3, (2, 30, 4)).astype(np.float32)
    np.testing.assert_allclose(pearson(5 * predicted + 2, measured), pearson(predicted, measured), atol=1e-6)
    np.testing.assert_allclose(rmse(measured + 3, measured), 3)
    np.testing.assert_allclose(rmse([[0.0], [4.0]], [[3.0], [0.0]]), np.sqrt(12.5))


@pytest.mark.parametrize("value", [0.0, 0.1, 7.0, 1e6])
def test_a_gene_that_does_not_vary_has_no_r(value: float) -> None:
    varying = np.arange(20, dtype=np.float32)[:, None]
    constant = np.full((20, 1), value, dtype=np.float32)
    assert np.isnan(pearson(constant, varying)).all()
    assert np.isnan(pearson(varying, constant)).all()


def test_rounding_of_a_constant_prediction_is_no_variation() -> None:
    varying = np.arange(20, dtype=np.float32)[:, None]
    rounded = np.full((20, 1), 0.3, dtype=np.float32)
    rounded[::2] = np.nextafter(rounded[::2], 1)
    assert np.isnan(pearson(rounded, varying)).all()


def test_a_small_but_true_signal_on_a_large_level_has_an_r() -> None:
    varying = np.arange(20, dtype=np.float32)[:, None]
    np.testing.assert_allclose(pearson(varying / 100 + 50, varying), 1, atol=1e-4)


def test_one_spot_has_no_r() -> None:
    assert np.isnan(pearson(np.ones((1, 3)), np.zeros((1, 3)))).all()


def test_the_mean_r_leaves_undefined_genes_out() -> None:
    x = np.arange(10, dtype=np.float32)
    predicted, measured = np.stack([x, x, x], axis=1), np.stack([x, -x, np.ones_like(x)], axis=1)
    assert mean_pearson(predicted[:, [0, 2]], measured[:, [0, 2]]) == pytest.approx(1)
    assert mean_pearson(predicted, measured) == pytest.approx(0)


def row(
    repeat: int, fold: int, sample: str, gene: str, value: float, model: str = "miso"
) -> dict[str, object]:
    about = {"repeat": repeat, "fold": fold, "sample": sample, "model": model, "gene": gene}
    return {**about, "target": "raw", "metric": "pearson", "value": value}


def test_sections_are_averaged_in_their_fold_before_folds_and_folds_before_repeats() -> None:
    table = pd.DataFrame(
        [
            row(0, 0, "A1", "G", 0.9),
            row(0, 0, "A2", "G", 0.1),
            row(0, 0, "A3", "G", 0.2),  # fold 0: 0.4
            row(0, 1, "B1", "G", 0.8),  # fold 1: 0.8, so repeat 0: 0.6
            row(1, 0, "A1", "G", 0.1),
            row(1, 1, "B1", "G", np.nan),  # repeat 1: 0.1
        ]
    )
    assert per_gene(table).loc["G", "miso"] == pytest.approx((0.6 + 0.1) / 2)
    flat, by_fold = table["value"].mean(), (0.4 + 0.8 + 0.1) / 3
    assert abs(flat - 0.35) > 0.01  # the other orders give other numbers
    assert abs(by_fold - 0.35) > 0.01


def test_a_summary_is_the_mean_over_genes_and_counts_what_is_undefined() -> None:
    table = pd.DataFrame(
        [
            row(0, 0, "A1", "G", 0.5),
            row(0, 0, "A2", "G", 0.3),
            row(0, 0, "A1", "H", np.nan),
            row(0, 0, "A2", "H", -0.2),
            row(0, 0, "A1", "NEVER", np.nan),
            row(0, 0, "A2", "NEVER", np.nan),
            row(0, 0, "A1", "G", 0.1, model="other"),
        ]
    )
    summary = summarize(table)
    assert summary["miso"] == {
        "pearson": pytest.approx((0.4 - 0.2) / 2),
        "pearson_by_sample": {"A1": pytest.approx(0.5), "A2": pytest.approx(0.05)},
        "undefined": 3,
        "of": 6,
    }
    assert summary["other"]["pearson"] == pytest.approx(0.1)


def test_nothing_defined_is_no_number_rather_than_zero() -> None:
    summary = summarize(pd.DataFrame([row(0, 0, "A1", "G", np.nan)]))
    assert summary["miso"]["pearson"] is None
    assert summary["miso"]["pearson_by_sample"] == {"A1": None}


def test_the_table_of_a_section_is_tidy_and_keeps_undefined_values() -> None:
    x = np.arange(10, dtype=np.float32)
    predicted, measured = np.stack([x, x], axis=1), np.stack([x, np.ones_like(x)], axis=1)
    table = score_rows(
        predicted, measured, ["G", "FLAT"], repeat=1, fold=2, sample="A1", model="miso", target="raw"
    )
    assert list(table) == COLUMNS
    assert {"repeat", "fold", "sample", "gene", "target", "metric", "value"} <= set(COLUMNS)
    values = table.set_index(["metric", "gene"])["value"]
    assert values["pearson", "G"] == pytest.approx(1)
    assert np.isnan(values["pearson", "FLAT"])
    assert values["rmse", "FLAT"] == pytest.approx(np.sqrt(((x - 1) ** 2).mean()))
    assert table[["repeat", "fold", "sample"]].drop_duplicates().to_numpy().tolist() == [[1, 2, "A1"]]

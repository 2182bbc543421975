"""Paired comparisons: p by hand, intervals that cover, ratios, what is left out and what is refused."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from miso.errors import MisoError
from miso.scores.paired import Difference, paired_difference
from miso.scores.resample import resample, sign_flip_p


def tidy(mine: np.ndarray, other: np.ndarray, patients: list[str] | None = None) -> pd.DataFrame:
    """Rows of two models, from section × gene tables."""
    rows = [
        {
            "model": model,
            "gene": f"G{gene}",
            "sample": f"S{sample}",
            "patient": patients[sample] if patients else "P",
            "fold": sample,
            "repeat": 0,
            "value": table[sample, gene],
        }
        for model, table in (("new", mine), ("old", other))
        for sample in range(table.shape[0])
        for gene in range(table.shape[1])
    ]
    return pd.DataFrame(rows)


def two_models(units: int, genes: int, effect: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    other = 0.3 + rng.normal(0, 0.05, (units, genes))
    gain = effect + rng.normal(0, 0.02, (units, 1)) + rng.normal(0, 0.05, (units, genes))
    return other + gain, other


def test_the_difference_and_the_ratio_are_those_of_the_means() -> None:
    mine, other = two_models(8, 30)
    found = paired_difference(tidy(mine, other), "new", "old")
    assert found.mean == pytest.approx(mine.mean() - other.mean())
    assert found.relative == pytest.approx(mine.mean() / other.mean() - 1)
    assert found.low < found.mean < found.high
    assert found.relative_low < found.relative < found.relative_high
    assert (found.n_units, found.n_genes, found.left_out, found.of) == (8, 30, 0, 240)


def test_the_other_way_round_is_the_opposite() -> None:
    mine, other = two_models(7, 20)
    one, two = (paired_difference(tidy(mine, other), *pair) for pair in (("new", "old"), ("old", "new")))
    assert (two.mean, two.low, two.high) == pytest.approx((-one.mean, -one.high, -one.low))
    assert two.p == one.p


def test_p_is_exact_by_hand() -> None:
    units = np.array([3.0, 1.0, 1.0, -1.0])  # sum 4; as far or farther: 6, 4, 4, 4 and their mirrors
    p, least = sign_flip_p(units[:, None], seed=0)
    by_hand = sum(abs(np.dot(signs, units)) >= 4 for signs in product((1, -1), repeat=4)) / 16
    assert by_hand == 8 / 16
    assert (p, least) == (by_hand, 2 / 16)


def test_four_sections_that_all_agree_can_say_no_more_than_one_in_eight() -> None:
    mine, other = two_models(4, 50, effect=0.2)
    found = paired_difference(tidy(mine, other), "new", "old")
    assert found.p == found.least_p == 1 / 8
    assert "4 sections and the genes drawn, the least possible p is 0.125" in found.caveat
    assert "no other patient" in found.caveat


@pytest.mark.parametrize(("units", "least"), [(5, 2 / 32), (12, 2 / 4096), (20, 1 / 4097)])
def test_the_least_p_falls_with_the_units(units: int, least: float) -> None:
    mine, other = two_models(units, 20, effect=0.5)
    found = paired_difference(tidy(mine, other), "new", "old")
    assert found.p == pytest.approx(found.least_p)
    assert found.least_p == pytest.approx(least)


def test_random_signs_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(4)
    units = rng.normal(0.3, 1, 13)
    exact = np.mean([abs(np.dot(s, units)) >= abs(units.sum()) - 1e-9 for s in product((1, -1), repeat=13)])
    assert sign_flip_p(units[:, None], seed=1)[0] == pytest.approx(exact, abs=0.03)


def test_p_is_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(5)
    found = np.array([sign_flip_p(rng.normal(size=(8, 1)), seed=0)[0] for _ in range(400)])
    assert (found <= 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert (found <= 0.5).mean() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("units", [4, 7, 20])  # 600 trials: 0.99, 0.94 and 0.96
def test_the_interval_covers_the_truth_about_as_often_as_it_says(units: int) -> None:
    intervals = []
    for trial in range(80):
        mine, other = two_models(units, 20, effect=0.05, seed=trial)
        valid = np.ones(mine.shape, dtype=bool)
        found = resample(mine, other, valid, genes_too=True, level=0.95, seed=trial)
        intervals.append(found.interval)
    low, high = np.array(intervals).T
    assert ((low <= 0.05) & (high >= 0.05)).mean() >= 0.88
    assert (low > 0).mean() > 0.15 if units == 4 else (low > 0).mean() > 0.9  # and says something


@pytest.mark.parametrize("units", [6, 10, 40])
def test_the_interval_of_one_gene_is_about_students(units: int) -> None:
    gaps = np.random.default_rng(units).normal(size=(units, 1))
    valid = np.ones(gaps.shape, dtype=bool)
    low, high = resample(gaps, 0 * gaps, valid, genes_too=True, level=0.95, seed=0).interval
    student = stats.t.interval(0.95, units - 1, loc=gaps.mean(), scale=stats.sem(gaps[:, 0]))
    assert high - low == pytest.approx(student[1] - student[0], rel=0.07)


def test_sections_of_a_patient_are_averaged_before_patients_are_units() -> None:
    mine, other = two_models(6, 10)
    patients = ["A", "A", "A", "B", "C", "C"]
    found = paired_difference(tidy(mine, other, patients), "new", "old", unit="patient")
    gap = (mine - other).mean(axis=1)
    assert found.n_units == 3
    assert found.mean == pytest.approx(np.mean([gap[:3].mean(), gap[3], gap[4:].mean()]))
    assert found.least_p == 1 / 4


def test_one_patient_is_no_test() -> None:
    mine, other = two_models(4, 40)
    found = paired_difference(tidy(mine, other), "new", "old", unit="patient")
    assert (found.n_units, found.p, found.least_p) == (1, 1.0, 1.0)
    assert "one patient: the interval is over genes alone and speaks for no other patient" in found.caveat
    assert found.low < found.mean < found.high


def test_genes_as_units_speak_for_genes() -> None:
    mine, other = two_models(4, 40)
    found = paired_difference(tidy(mine, other), "new", "old", unit="gene")
    assert (found.n_units, found.n_genes) == (40, 40)
    assert found.mean == pytest.approx((mine - other).mean())
    assert "no other section" in found.caveat


def test_a_pair_with_an_undefined_side_is_left_out_and_counted() -> None:
    mine, other = two_models(6, 10)
    mine[0, 0] = other[1, 0] = other[2, 3] = np.nan
    mine[:, 9] = np.nan
    found = paired_difference(tidy(mine, other), "new", "old")
    gap = np.nanmean(np.delete(mine - other, 9, axis=1), axis=0).mean()
    assert found.mean == pytest.approx(gap)
    assert (found.left_out, found.of, found.n_genes) == (9, 60, 9)


def test_only_sections_and_genes_of_both_are_compared_and_repeats_are_averaged() -> None:
    mine, other = two_models(6, 10)
    rows = tidy(mine, other)
    lost = (rows["model"] == "old") & ((rows["sample"] == "S5") | (rows["gene"] == "G0"))
    again = rows.assign(repeat=1, value=rows["value"] + 0.1 * (rows["model"] == "new"))
    found = paired_difference(pd.concat([rows[~lost], again[~lost]]), "new", "old")
    assert (found.n_units, found.n_genes) == (5, 9)
    assert found.mean == pytest.approx((mine - other)[:5, 1:].mean() + 0.05)


def test_a_ratio_to_nothing_is_undefined() -> None:
    mine, other = two_models(6, 10)
    below = paired_difference(tidy(mine, other - 0.5), "new", "old")
    assert np.isnan([below.relative, below.relative_low, below.relative_high]).all()
    around = paired_difference(tidy(mine, other - other.mean() + 1e-4), "new", "old")
    assert np.isfinite(around.relative)
    assert np.isnan([around.relative_low, around.relative_high]).all()


def test_equal_models_do_not_differ() -> None:
    mine, _ = two_models(5, 10)
    found = paired_difference(tidy(mine, mine), "new", "old")
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_seed_settles_it() -> None:
    rows = tidy(*two_models(5, 10))
    assert paired_difference(rows, "new", "old", seed=1) == paired_difference(rows, "new", "old", seed=1)
    wide, narrow = (paired_difference(rows, "new", "old", level=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert isinstance(wide, Difference)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop(columns="gene"), "lacks the column 'gene'"),
        (lambda rows: rows.replace({"model": {"old": "older"}}), "unknown model 'old'; did you mean 'older'"),
        (lambda rows: rows.assign(value=np.nan), "no gene and section has a defined score of both"),
        (lambda rows: rows.assign(metric=["a", "b"] * (len(rows) // 2)), "scores of one metric .* are a, b"),
        (lambda rows: rows.assign(target=["a", "b"] * (len(rows) // 2)), "scores of one target .* are a, b"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(change, says: str) -> None:
    with pytest.raises(MisoError, match=says):
        paired_difference(change(tidy(*two_models(4, 4))), "new", "old")

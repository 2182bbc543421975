"""Grades follow from out-of-fold r by the documented rule, and what is not known stays untested."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miso.errors import CheckpointError
from miso.models.reliability import (
    COLUMNS,
    as_records,
    from_records,
    read_reliability,
    reliability,
    untested,
    with_ceiling,
)


def scores(r: dict[str, list[float]], model: str = "miso", metric: str = "pearson") -> pd.DataFrame:
    """One fold a section."""
    rows = [
        {
            "repeat": 0,
            "fold": fold,
            "sample": f"S{fold}",
            "model": model,
            "gene": gene,
            "metric": metric,
            "value": v,
        }
        for gene, values in r.items()
        for fold, v in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_the_grade_is_decided_by_r_less_its_standard_error() -> None:
    table = reliability(
        scores(
            {
                "SURE": [0.6, 0.6, 0.6],
                "SHAKY": [0.9, 0.6, 0.3],  # mean 0.6, standard error 0.3 / √3 = 0.173
                "FAIR": [0.2, 0.2, 0.2],
                "NONE": [0.05, -0.05, 0.0],
                "AGAINST": [-0.6, -0.6, -0.6],
            }
        ),
        ["SURE", "SHAKY", "FAIR", "NONE", "AGAINST"],
        "miso",
    )
    assert list(table["grade"]) == ["A", "B", "C", "D", "D"]
    assert table.loc["SHAKY", "r_cv"] == pytest.approx(0.6)
    assert table.loc["SHAKY", "r_low"] == pytest.approx(0.6 - 0.3 / np.sqrt(3))
    assert list(table["sections"]) == [3, 3, 3, 3, 3]


def test_limits_of_grades_belong_to_the_better_grade() -> None:
    genes = {str(r): [r, r] for r in (0.5, 0.499, 0.3, 0.299, 0.1, 0.099)}
    assert list(reliability(scores(genes), list(genes), "miso")["grade"]) == ["A", "B", "B", "C", "C", "D"]


def test_one_section_gives_a_c_at_best() -> None:
    table = reliability(scores({"HIGH": [0.9], "LOW": [0.01]}), ["HIGH", "LOW"], "miso")
    assert list(table["grade"]) == ["C", "D"]
    assert table["r_low"].isna().all()
    assert table.loc["HIGH", "r_cv"] == 0.9


def test_a_gene_without_r_in_most_sections_is_untested() -> None:
    nan = float("nan")
    table = reliability(
        scores({"HALF": [0.6, 0.6, nan, nan], "FEW": [0.6, nan, nan, nan], "NEVER": [nan] * 4}),
        ["HALF", "FEW", "NEVER", "OTHER"],
        "miso",
    )
    assert list(table["grade"]) == ["A", "untested", "untested", "untested"]
    assert list(table["sections"]) == [2, 1, 0, 0]
    assert table["r_cv"].isna().tolist() == [False, True, True, True]


def test_only_the_models_own_pearson_counts() -> None:
    parts = [
        scores({"G": [0.4, 0.4]}),
        scores({"G": [0.9, 0.9]}, model="total-count"),
        scores({"G": [0.1, 0.1]}, metric="rmse"),
    ]
    table = reliability(pd.concat(parts), ["G"], "miso")
    assert table.loc["G", "r_cv"] == pytest.approx(0.4)


def test_r_is_the_mean_over_sections_of_a_fold_then_folds_then_repeats() -> None:
    rows = [(0, 0, "A", 0.2), (0, 0, "B", 0.4), (0, 1, "C", 0.6), (1, 0, "A", 0.9)]
    table = pd.DataFrame(rows, columns=["repeat", "fold", "sample", "value"]).assign(
        gene="G", model="miso", metric="pearson"
    )
    found = reliability(table, ["G"], "miso")
    assert found.loc["G", "r_cv"] == pytest.approx((((0.2 + 0.4) / 2 + 0.6) / 2 + 0.9) / 2)
    assert found.loc["G", "sections"] == 3


unit = st.floats(-1, 1) | st.just(float("nan"))


@settings(max_examples=25)
@given(st.dictionaries(st.text(min_size=1, max_size=6), st.lists(unit, min_size=1, max_size=5), min_size=1))
def test_a_table_survives_json(r: dict[str, list[float]]) -> None:
    table = reliability(scores(r), list(r), "miso")
    again = from_records(json.loads(json.dumps(as_records(table), allow_nan=False)))
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_grades_are_not_taken_on_trust() -> None:
    records = as_records(reliability(scores({"G": [0.0, 0.0]}), ["G"], "miso"))
    assert list(from_records([{**records[0], "grade": "A"}])["grade"]) == ["D"]


def test_a_benchmarks_noise_ceiling_stands_beside_r_and_changes_no_grade(tmp_path: Path) -> None:
    table = reliability(scores({"A": [0.6, 0.6], "B": [0.2, 0.2]}), ["A", "B"], "miso")
    ceiling = scores({"A": [0.7, 0.8]}, model="noise ceiling").assign(target="raw")
    ceiling.to_parquet(tmp_path / "ceiling.parquet")
    found = with_ceiling(table, tmp_path / "ceiling.parquet", "raw")
    assert found.loc["A", "ceiling"] == pytest.approx(0.75)
    assert np.isnan(found.loc["B", "ceiling"])
    pd.testing.assert_frame_equal(found.drop(columns="ceiling"), table.drop(columns="ceiling"))
    with pytest.raises(CheckpointError, match="no noise ceilings of the target 'log1p'"):
        with_ceiling(table, tmp_path / "ceiling.parquet", "log1p")
    with pytest.raises(CheckpointError, match="miso benchmark writes them"):
        with_ceiling(table, tmp_path / "nowhere.parquet", "raw")


def test_no_table_leaves_genes_untested_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "metrics.parquet"
    table = read_reliability(file, ["A", "B"], "miso")
    pd.testing.assert_frame_equal(table, untested(["A", "B"]))
    assert list(table.columns) == COLUMNS
    assert set(table["grade"]) == {"untested"}
    scores({"A": [0.6, 0.6]}).to_parquet(file)
    assert list(read_reliability(file, ["A", "B"], "miso")["grade"]) == ["A", "untested"]
    for content in (file.read_bytes()[:-30], b"no table"):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"metrics\.parquet is damaged") as caught:
            read_reliability(file, ["A"], "miso")
        assert "\n" not in str(caught.value)
    pd.DataFrame({"gene": ["A"]}).to_parquet(file)
    with pytest.raises(CheckpointError, match=r"is damaged .*metric"):
        read_reliability(file, ["A"], "miso")

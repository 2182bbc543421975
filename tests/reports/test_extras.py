"""What a board shows beside scores: genes beside what was measured, coverage, training, a table of genes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from miso.errors import CheckpointError
from miso.models.residuals import Residuals
from miso.models.trust import write_trust
from miso.reports.benchmark import benchmark, write_benchmark
from miso.reports.beside import best_and_worst, middle_section
from miso.reports.board_extras import gene_table
from miso.reports.boards import gather
from miso.reports.checkpoints import chosen_in_training, curves_of, residuals_of
from miso.reports.runs import FinishedRun, open_runs, read_prediction
from miso.reports.uncertainty import uncertainty
from miso.samples.targets import target_values

WriteRun = Callable[..., Path]
ReadPage = Callable[[str], Any]


def add_checkpoints(run: FinishedRun, *, residuals: bool = True) -> None:
    """Give each fold a checkpoint that says what it missed where it was tested, and nonsense of `val`."""
    for index, fold in enumerate(run.folds):
        folder = run.folder.checkpoint(0, index)
        folder.mkdir(parents=True)
        config = {"genes": run.cohort.genes, "arguments": {"in_dim": 4}}
        notes = {"preset": "default", "epoch": 3 + index, "validation_r": 0.5, "surroundings": True}
        (folder / "config.json").write_text(json.dumps({**config, "notes": notes}))
        if not residuals:
            continue
        records = []
        for name in fold["test"]:
            measured = target_values(run.cohort.samples[name], run.cohort.target, run.cohort.genes)
            records.append(Residuals.of_section(name, read_prediction(run, name), measured))
        wrong = replace(cast("Residuals", records[0]), sections=tuple(fold["val"]))
        wrong = replace(wrong, missed=wrong.missed * 1000)
        write_trust(folder, Residuals.together([*cast("list[Residuals]", records), wrong]), None)


def test_the_section_with_the_middle_score_is_shown(write_run: WriteRun) -> None:
    (board,) = gather(open_runs([write_run()]))
    r = board.values[(board.values["metric"] == "pearson") & (board.values["model"] == "default")]
    means = sorted((float(rows["value"].mean()), str(name)) for name, rows in r.groupby("sample"))
    assert middle_section(board) == means[1][1]  # the second of four


def test_the_genes_with_the_highest_and_lowest_r_are_drawn_beside_what_was_measured(
    write_run: WriteRun,
) -> None:
    run = write_run()
    (board,) = gather(open_runs([run, write_run("other", preset="published", seed=1)]))
    r = board.values[(board.values["metric"] == "pearson") & (board.values["model"] == "default")]
    ranked = r.groupby("gene")["value"].mean().sort_values(ascending=False)
    found = best_and_worst(board, "A1")
    assert [one.gene for one in found] == [*ranked.index[:3], *ranked.index[-3:]]
    assert [one.rank for one in found] == ["best"] * 3 + ["worst"] * 3
    assert [panel.title for panel in found[0].panels] == ["measured", "default", "published"]
    here = r[(r["sample"] == "A1") & (r["gene"] == found[0].gene)]["value"].item()
    assert found[0].panels[1].r == pytest.approx(here)
    assert found[0].panels[0].r is None
    measured = target_values(board.samples["A1"], board.target, [found[0].gene])[:, 0]
    assert found[0].panels[0].limits == pytest.approx(np.percentile(measured, [1, 99]))


def test_genes_stand_in_the_table_with_their_r_ceiling_and_best_baseline(write_run: WriteRun) -> None:
    result = benchmark([write_run()], wanted=["all"]).boards[0]
    rows = gene_table(result, {})
    assert len(rows) == 12
    r = [row["r"]["default"] for row in rows]
    assert r == sorted(r, reverse=True)
    values = result.board.values
    own = values[(values["metric"] == "pearson") & (values["gene"] == rows[0]["gene"])]
    assert rows[0]["baseline"] == pytest.approx(own[own["model"] == "ridge+neighbours"]["value"].mean())
    assert 0 < rows[0]["ceiling"] <= 1
    assert rows[0]["half"] is None


def test_what_a_fold_missed_on_sections_that_it_was_not_tested_on_does_not_count(write_run: WriteRun) -> None:
    (run,) = open_runs([write_run()])
    add_checkpoints(run)
    residuals = residuals_of(run)
    assert residuals is not None
    assert sorted(residuals.sections) == ["A1", "A2", "B1", "B2"]
    assert residuals.missed.max() < 1000


@dataclass
class Drawn:
    """A run of four sections of two patients whose residuals are normal, with a known spread."""

    run: FinishedRun
    predictions: dict[str, np.ndarray]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    rng, genes, n = np.random.default_rng(0), ["G", "H"], 2000
    names = {"A1": "A", "A2": "A", "B1": "B", "B2": "B"}
    predicted = {name: rng.uniform(1, 9, (n, 2)).astype(np.float32) for name in names}
    measured = {
        name: (p + rng.normal(size=p.shape) * np.sqrt(1 + p)).astype(np.float32)
        for name, p in predicted.items()
    }
    cohort = SimpleNamespace(patients=names, genes=genes, samples={n: n for n in names}, target=None)
    run = cast("FinishedRun", SimpleNamespace(tested=sorted(names), cohort=cohort))
    records = [Residuals.of_section(name, predicted[name], measured[name]) for name in names]
    together = Residuals.together([each for each in records if each is not None])
    monkeypatch.setattr("miso.reports.uncertainty.residuals_of", lambda run: together)
    monkeypatch.setattr("miso.reports.uncertainty.read_prediction", lambda run, name: predicted[name])
    monkeypatch.setattr("miso.reports.uncertainty.target_values", lambda name, target, genes: measured[name])
    return Drawn(run=run, predictions=predicted)


def test_intervals_hold_what_they_promise_where_residuals_are_alike(drawn: Drawn) -> None:
    found = uncertainty(drawn.run)
    assert found is not None
    assert (found.by, list(found.coverage["who"]), list(found.coverage["spots"])) == (
        "patient",
        ["A", "B"],
        [4000, 4000],
    )
    for level in (0.5, 0.8, 0.9, 0.95):
        assert found.coverage[f"{level:g}"].to_numpy() == pytest.approx(level, abs=0.03)
    typical = np.median(1.645 * np.sqrt(1 + np.concatenate(list(drawn.predictions.values()))), axis=0)
    assert found.half.to_numpy() == pytest.approx(typical, rel=0.06)


def test_sections_of_one_patient_are_tried_one_by_one(drawn: Drawn) -> None:
    drawn.run.cohort.patients.update(dict.fromkeys(("A1", "A2", "B1", "B2"), "A"))
    found = uncertainty(drawn.run)
    assert found is not None
    assert (found.by, len(found.coverage)) == ("section", 4)


def test_without_residuals_nothing_is_known(write_run: WriteRun) -> None:
    (run,) = open_runs([write_run()])
    assert uncertainty(run) is None
    assert chosen_in_training(run) == []
    add_checkpoints(run, residuals=False)
    assert uncertainty(run) is None
    assert [row["epoch"] for row in chosen_in_training(run)] == [3, 4, 5, 6]
    assert chosen_in_training(run)[0]["test"] == "A1"


def test_curves_are_those_of_the_history_that_a_fold_keeps(
    write_run: WriteRun, tmp_path: Path, read_page: ReadPage
) -> None:
    (run,) = open_runs([path := write_run()])
    add_checkpoints(run)
    assert curves_of(run) == {}
    file = run.folder.fold(0, 1) / "history.csv"
    file.write_text("phase,epoch,loss,score\ntraining,1,2.5,\ntraining,2,1.5,0.4\n")
    assert curves_of(run) == {
        "training: loss": {"fold 1": [(1.0, 2.5), (2.0, 1.5)]},
        "training: score": {"fold 1": [(2.0, 0.4)]},
    }
    said = read_page(write_benchmark(benchmark([path], wanted=["all"]), tmp_path / "out").read_text()).text
    assert "training: loss; a line a fold" in said
    assert "what validation chose" in said
    file.write_text("epoch\n1\n")
    with pytest.raises(CheckpointError, match=r"history\.csv is damaged"):
        curves_of(run)

"""Benchmarks of runs made by hand: boards, figures, comparisons, gene sets, files, refusals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from miso.reports.benchmark import Benchmark, benchmark, write_benchmark
from miso.reports.boards import gather
from miso.reports.comparisons import SAME, compare, in_words
from miso.reports.figures import score_board
from miso.reports.gene_sets import GeneSet, check_wanted, choose_gene_sets, first_ring
from miso.reports.published import read_published
from miso.reports.runs import open_runs
from miso.samples import open_sample

WriteRun = Callable[..., Path]
Refusal = Callable[[Callable[[], object]], str]
ALL = ["all"]
TWO_A_FOLD = [
    {"train": ["B1", "B2"], "val": [], "test": ["A1", "A2"]},
    {"train": ["A1"], "val": ["A2"], "test": ["B1"]},
]


def names(runs: list[Path], cohort: Path | None = None) -> list[list[str]]:
    return [board.run_names for board in gather(open_runs(runs, cohort))]


def figure(found: Benchmark, model: str, gene_set: str = "all", metric: str = "pearson") -> pd.Series:
    table = found.boards[0].figures
    chosen = (table["model"] == model) & (table["gene_set"] == gene_set) & (table["metric"] == metric)
    return table[chosen].iloc[0]


def by_hand(run: Path, model: str, folds: list[list[str]], genes: list[list[str]]) -> float:
    """The benchmark's mean by plain loops: per gene over sections of a fold, over folds, then over genes."""
    table = pd.read_parquet(run / "metrics.parquet")
    table = table[(table["metric"] == "pearson") & (table["model"] == model)]
    r = table.set_index(["sample", "gene"])["value"]
    means = []
    for gene in dict.fromkeys(gene for fold in genes for gene in fold):
        in_folds = [
            np.mean([r[name, gene] for name in names])
            for names, set_ in zip(folds, genes, strict=True)
            if gene in set_
        ]
        means.append(np.mean(in_folds))
    return float(np.mean(means))


def test_the_figure_is_the_mean_over_sections_of_a_fold_then_folds_then_genes(write_run: WriteRun) -> None:
    run = write_run(folds=TWO_A_FOLD)
    found = benchmark([run], wanted=ALL)
    genes = found.boards[0].board.genes
    expected = by_hand(run, "miso", [["A1", "A2"], ["B1"]], [genes, genes])
    row = figure(found, "default")
    assert row["value"] == pytest.approx(expected, abs=1e-12)
    assert (row["of"], row["undefined"], row["n_sections"], row["n_genes"]) == (36, 0, 3, 12)
    assert row["low"] < row["value"] < row["high"]


def test_no_interval_reaches_beyond_what_its_metric_can_be(
    write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miso.reports.figures.interval", lambda rows, unit, mean: (-3.0, 3.0, 2))
    table = benchmark([write_run()], wanted=ALL).boards[0].figures.set_index("metric")
    assert set(table.loc[["pearson"], "low"].dropna()) == {-1.0}
    assert set(table.loc[["pearson"], "high"].dropna()) == {1.0}
    assert set(table.loc[["rmse"], "high"].dropna()) == {3.0}


def test_a_set_chosen_by_fold_is_the_mean_over_folds_of_each_sets_mean(write_run: WriteRun) -> None:
    run = write_run()
    (board,) = gather(open_runs([run]))
    by_fold = [["G00", "G01"], ["G01", "G02"], ["G03", "G04"], ["G00", "G05"]]
    gene_set = GeneSet(name="mine", recipe="by hand", by_fold=by_fold)
    r = pd.read_parquet(run / "metrics.parquet").query("metric == 'pearson' and model == 'miso'")
    r = r.set_index(["fold", "gene"])["value"]
    means = [np.mean([r[fold, gene] for gene in genes]) for fold, genes in enumerate(by_fold)]
    row = score_board(board, [gene_set], None).query("metric == 'pearson' and model == 'default'").iloc[0]
    assert row["value"] == pytest.approx(np.mean(means), abs=1e-12)
    assert (row["of"], row["n_genes"]) == (8, 6)
    pair = compare(board, [gene_set]).iloc[0]
    assert (pair["of"], pair["left_out"], pair["n_genes"]) == (8, 0, 6)


def test_an_undefined_value_is_counted_and_in_no_mean(write_run: WriteRun) -> None:
    run = write_run()
    clean = figure(benchmark([run], wanted=ALL), "ridge+neighbours")
    table = pd.read_parquet(run / "metrics.parquet")
    hit = (table["model"] == "ridge+neighbours") & (table["metric"] == "pearson") & (table["gene"] == "G00")
    table.loc[hit, "value"] = np.nan
    table.to_parquet(run / "metrics.parquet", index=False)
    row = figure(benchmark([run], wanted=ALL), "ridge+neighbours")
    assert (clean["undefined"], row["undefined"], row["of"]) == (0, 4, 48)
    kept = table[(table["model"] == "ridge+neighbours") & (table["metric"] == "pearson")]
    assert row["value"] == pytest.approx(kept.groupby("gene")["value"].mean().mean(), abs=1e-12)


def test_the_strongest_baseline_on_the_same_features_is_named_and_no_oracle(write_run: WriteRun) -> None:
    found = benchmark([write_run()], wanted=ALL)
    pairs = found.boards[0].comparisons
    strongest = pairs[(pairs["role"] == SAME) & (pairs["gene_set"] == "all")].iloc[0]
    assert strongest["against"] == "ridge+neighbours"
    means = [figure(found, name)["value"] for name in ("default", "ridge+neighbours", "total-count")]
    assert means[2] > means[0] > means[1]
    assert strongest["mean"] == pytest.approx(means[0] - means[1])
    assert strongest["relative"] == pytest.approx(means[0] / means[1] - 1)
    sentence = in_words(strongest)
    assert "ridge+neighbours (strongest on the same features)" in sentence
    assert "n patients = 2, p = 0.5 (least possible 0.5)" in sentence


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.05, "default beats ridge by +5.2 % relative [+1.0 %, +9.0 %], n sections = 4, p = 0.125"),
        (-0.01, 0.05, "default and ridge are not told apart: +5.2 % relative"),
        (-0.05, -0.01, "default loses to ridge by +5.2 % relative"),
    ],
)
def test_a_comparison_says_what_its_interval_allows(low: float, high: float, words: str) -> None:
    said = {"model": "default", "against": "ridge", "role": "", "mean": 0.02, "low": low, "high": high}
    said |= {"relative": 0.052, "relative_low": 0.01, "relative_high": 0.09, "p": 0.125, "least_p": 0.125}
    assert in_words(pd.Series({**said, "unit": "sample", "n_units": 4})).startswith(words)


def test_on_features_of_another_encoder_stain_is_no_rival_on_the_same_features(write_run: WriteRun) -> None:
    run = write_run(encoder="phikon@1", noise={"miso": 0.4, "stain+ridge": 0.6, "pca+ridge": 2.0})
    pairs = benchmark([run], wanted=ALL).boards[0].comparisons
    roles = pairs[pairs["gene_set"] == "all"].set_index("against")["role"]
    assert roles["pca+ridge"] == SAME
    assert roles["stain+ridge"] == "strongest of all baselines"


def test_runs_stand_under_their_presets_or_under_their_folders_where_presets_repeat(
    write_run: WriteRun,
) -> None:
    one, other = write_run("runs/one"), write_run("runs/other", preset="published", seed=1)
    assert names([one, other]) == [["default", "published"]]
    again = write_run("runs/again", seed=2)
    assert names([one, other, again]) == [["one", "published", "again"]]
    same_name = write_run("more/one", seed=3)
    assert names([one, same_name]) == [["runs/one", "more/one"]]


def test_equal_baselines_of_two_runs_stand_once_and_different_ones_under_both_runs(
    write_run: WriteRun,
) -> None:
    one, other = write_run("one"), write_run("other", preset="published", seed=1)
    (board,) = gather(open_runs([one, other]))
    assert board.models.count("ridge+neighbours") == 1
    table = pd.read_parquet(other / "metrics.parquet")
    table.loc[table["model"] == "stain+ridge", "value"] *= 0.9
    table.to_parquet(other / "metrics.parquet", index=False)
    (board,) = gather(open_runs([one, other]))
    assert {"stain+ridge", "stain+ridge (published)"} <= set(board.models)
    assert board.baselines["published"]["stain+ridge"] == "stain+ridge (published)"


def test_a_run_without_baselines_is_compared_with_those_of_a_run_on_the_same_features(
    write_run: WriteRun,
) -> None:
    one, bare = write_run("one"), write_run("bare", preset="published", seed=1, noise={"miso": 0.8})
    pairs = benchmark([one, bare], wanted=ALL).boards[0].comparisons
    assert "ridge+neighbours" in set(pairs[pairs["model"] == "published"]["against"])
    alone = benchmark([bare], wanted=ALL).boards[0]
    assert len(alone.comparisons) == 0
    assert "These runs were trained without baselines." in alone.caveats


def test_runs_on_other_targets_folds_or_genes_stand_on_boards_of_their_own(write_run: WriteRun) -> None:
    runs = [
        write_run("raw"),
        write_run("log", target="log1p_cp10k"),
        write_run("folds", folds=TWO_A_FOLD),
        write_run("genes", genes=[f"G{i:02d}" for i in range(8)]),
        write_run("raw2", preset="published", seed=1),
    ]
    boards = gather(open_runs(runs))
    assert [board.name for board in boards] == ["raw", "log1p_cp10k", "raw-2", "raw-3"]
    assert [len(board.runs) for board in boards] == [2, 1, 1, 1]


def test_gene_sets_are_chosen_on_training_sections_alone(write_run: WriteRun, tmp_path: Path) -> None:
    """Counts of the held-out and validation sections are replaced: the fold's sets stay what they were."""
    run = write_run()
    wanted = check_wanted(["hvg_4", "svg_4"])
    (board,) = gather(open_runs([run]))
    before = [gene_set.by_fold for gene_set in choose_gene_sets(board, wanted)]
    rng = np.random.default_rng(0)
    for name in (*board.folds[0]["test"], *board.folds[0]["val"]):
        adata = board.samples[name].adata
        shuffled = adata.X.toarray()[:, ::-1].copy()
        rng.shuffle(shuffled)
        adata.X = type(adata.X)(shuffled)
    after = [gene_set.by_fold for gene_set in choose_gene_sets(board, wanted)]
    assert [folds[0] for folds in after] == [folds[0] for folds in before]
    assert after != before


def test_a_custom_list_keeps_the_runs_genes_and_names_the_others(write_run: WriteRun, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("gene\nG03\nG01\nTP53\n")
    (board,) = gather(open_runs([write_run()]))
    (gene_set,) = choose_gene_sets(board, check_wanted([str(file)]))
    assert (gene_set.name, gene_set.genes) == ("mine", ["G03", "G01"])
    assert "TP53" in gene_set.recipe


def test_the_ring_about_a_spot_has_four_spots_on_a_square_lattice(
    write_run: WriteRun, tmp_path: Path
) -> None:
    write_run()
    sample = open_sample(tmp_path / "samples" / "A1")
    assert first_ring(sample).shape == (36, 5)
    at = sample.adata.obsm["spatial"]
    inner = first_ring(sample)[14]
    assert np.allclose(np.linalg.norm(at[inner[1:]] - at[14], axis=1), 400)


def test_the_noise_ceiling_lies_above_what_counts_allow_and_is_high_for_deep_genes(
    write_run: WriteRun,
) -> None:
    ceiling = benchmark([write_run()], wanted=ALL).boards[0].ceiling
    assert ceiling is not None
    by_gene = ceiling.groupby("gene")["value"].mean()
    assert by_gene["G00"] > 0.95
    assert by_gene["G11"] < 0.6
    assert len(ceiling) == 48
    assert set(ceiling["sample"]) == {"A1", "A2", "B1", "B2"}


def test_every_file_is_written_and_reads_back(write_run: WriteRun, tmp_path: Path) -> None:
    found = benchmark([write_run()], published=True)
    out = tmp_path / "out"
    assert write_benchmark(found, out) == out / "report.html"
    metrics = pd.read_parquet(out / "metrics.parquet")
    assert {"board", "repeat", "fold", "sample", "patient", "model", "gene", "metric", "value"} <= set(
        metrics
    )
    assert len(metrics) == len(found.boards[0].board.values)
    table = pd.read_csv(out / "table.csv")
    assert np.allclose(table["value"], pd.read_parquet(out / "table.parquet")["value"], equal_nan=True)
    assert {"low", "high", "undefined", "of", "n_genes", "n_sections"} <= set(table)
    assert len(pd.read_parquet(out / "ceiling.parquet")) == 48
    assert sorted(p.name for p in (out / "pictures").iterdir()) == [
        "violin_raw_all.png",
        "violin_raw_hvg_30.png",
        "violin_raw_svg_40.png",
    ]
    assert not list(out.rglob(".*partial*"))


def test_an_earlier_benchmark_is_written_over_and_its_pictures_go(
    write_run: WriteRun, tmp_path: Path
) -> None:
    run, out = write_run(), tmp_path / "out"
    write_benchmark(benchmark([run], wanted=ALL), out)
    write_benchmark(benchmark([run], wanted=["all"]), out)
    assert [p.name for p in (out / "pictures").iterdir()] == ["violin_raw_all.png"]


def test_a_folder_with_anything_else_in_it_is_never_written_to(
    write_run: WriteRun, refusal: Refusal, tmp_path: Path
) -> None:
    run = write_run()
    before = (run / "metrics.parquet").read_bytes()
    found = benchmark([run], wanted=ALL)
    assert "choose another --out" in refusal(lambda: write_benchmark(found, run))
    assert (run / "metrics.parquet").read_bytes() == before


def test_pooled_r_stands_under_its_own_name_and_is_another_figure(write_run: WriteRun) -> None:
    found = benchmark([write_run()], wanted=ALL)
    pooled = figure(found, "default", metric="pooled_pearson")
    assert (pooled["n_sections"], pooled["unit"], pooled["n_units"]) == (4, "spot", 144)
    assert pooled["value"] != figure(found, "default")["value"]


def test_published_figures_are_those_of_the_asset() -> None:
    models = {model.model: model.pearson for model in read_published()}
    assert len(models) == 12
    assert models["MISO"] == {"all": 0.216842, "hvg_30": 0.295210, "svg_40": 0.355342}


def cut(run: Path, file: str) -> None:
    whole = (run / file).read_bytes()
    (run / file).write_bytes(whole[: len(whole) // 2])


def recount(run: Path) -> None:
    samples = run.parent / "samples"
    folder = samples / "A1"
    adata = open_sample(folder).adata
    adata.X = adata.X[::-1]
    adata.write_h5ad(folder / "adata.h5ad")


def reencode(run: Path) -> None:
    file = run.parent / "samples" / "B1" / "sample.json"
    manifest = json.loads(file.read_text())
    manifest["settings"]["patch_px"] = 14
    file.write_text(json.dumps(manifest))


def forget_fold(run: Path) -> None:
    (run / "repeat_0_fold_2" / "metrics.parquet").unlink()


def hold_nothing_out(run: Path) -> None:
    empty = pd.read_parquet(run / "metrics.parquet").iloc[:0]
    empty.to_parquet(run / "metrics.parquet", index=False)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no run": (lambda run: (run / "config.yaml").unlink(), "no run at"),
    "damaged configuration": (lambda run: (run / "config.yaml").write_text("a: [b"), "is damaged"),
    "damaged splits": (lambda run: cut(run, "splits.json"), "absent or damaged"),
    "damaged metrics": (lambda run: cut(run, "metrics.parquet"), "is damaged"),
    "no metrics": (lambda run: (run / "metrics.parquet").unlink(), "is not finished"),
    "unfinished fold": (forget_fold, "is not finished (repeat 0, fold 2)"),
    "nothing held out": (hold_nothing_out, "held nothing out"),
    "samples moved": (
        lambda run: shutil.move(run.parent / "samples", run.parent / "elsewhere"),
        "pass --cohort DIR",
    ),
    "a sample gone": (lambda run: shutil.rmtree(run.parent / "samples" / "B2"), "no sample 'B2'"),
    "other counts": (recount, "are not those that"),
    "another tile": (reencode, "patch_px is 16, now 14"),
    "no prediction": (lambda run: (run / "predictions" / "A2.h5ad").unlink(), "absent or damaged"),
    "damaged prediction": (lambda run: cut(run, "predictions/A2.h5ad"), "absent or damaged"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_run_that_cannot_be_scored_is_refused_in_one_line(
    what: str, write_run: WriteRun, refusal: Refusal
) -> None:
    run = write_run()
    spoil, message = WRONG[what]
    spoil(run)
    said = refusal(lambda: benchmark([run], wanted=ALL))
    assert message in said
    assert "\n" not in said


def test_samples_that_moved_are_found_where_the_user_says(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run()
    shutil.move(tmp_path / "samples", tmp_path / "elsewhere")
    assert names([run], tmp_path / "elsewhere") == [["default"]]


def test_gene_sets_that_are_none_are_refused_before_anything_is_opened(
    refusal: Refusal, tmp_path: Path
) -> None:
    nowhere = [tmp_path / "nowhere"]
    for wanted, message in {
        ("hvg_0",): "no gene set 'hvg_0'",
        ("hvgs",): "no gene set 'hvgs'",
        ("hvg", "hvg_30"): "'hvg_30' is asked for twice",
    }.items():
        assert message in refusal(lambda wanted=wanted: benchmark(nowhere, wanted=wanted))
    assert "no run at" in refusal(lambda: benchmark(nowhere))


def test_a_list_of_other_genes_and_a_run_given_twice_are_refused(
    write_run: WriteRun, refusal: Refusal, tmp_path: Path
) -> None:
    run = write_run()
    (tmp_path / "other.txt").write_text("TP53\n")
    assert "no gene of" in refusal(lambda: benchmark([run], wanted=[str(tmp_path / "other.txt")]))
    assert "given twice" in refusal(lambda: benchmark([run, run], wanted=ALL))


def test_settings_without_what_older_versions_lacked_do_not_matter(write_run: WriteRun) -> None:
    run = write_run()
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["settings"]["something_new"] = {"deep": [1, None]}
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    assert names([run]) == [["default"]]

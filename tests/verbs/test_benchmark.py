"""`miso benchmark` from outside: its table, its sentences, and one clear line for what is wrong."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(
    in_process: Callable[[tuple[object, ...]], int], processed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A real run on the tiny phantom, with its baselines."""
    run = tmp_path_factory.mktemp("benchmark") / "run"
    settings = ["cohort.genes=null", "splits=leave_one_sample_out", "max_epochs=1", "device=cpu"]
    assert in_process(("train", f"cohort.path={processed}", *settings, f"run_dir={run}")) == 0
    return run


def test_a_run_is_scored_and_its_table_printed(run_miso: Run, trained: Path, tmp_path: Path) -> None:
    code, out, err = run_miso(
        "benchmark", trained, "--genes_set", "all", "--published", "--out", tmp_path / "out"
    )
    assert code == 0
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    r = table[(table["metric"] == "pearson") & (table["model"] == "default")].iloc[0]
    line = next(line for line in out.splitlines() if "default" in line.split())
    assert f"{r['value']:.3f}" in line
    assert f"{r['undefined']}/{r['of']}" in line
    metrics = pd.read_parquet(trained / "metrics.parquet").query("model == 'miso' and metric == 'pearson'")
    assert r["value"] == pytest.approx(metrics.groupby("gene")["value"].mean().mean(), abs=1e-12)
    assert re.search(r"default .*ridge.* n patients = 3, p = ", out)
    assert "EGNv2" in out
    assert "was scored against its own target" in err
    assert str(tmp_path / "out" / "report.html") in err
    assert (tmp_path / "out" / "report.html").is_file()


def test_help_teaches(run_miso: Run) -> None:
    code, out, _ = run_miso("benchmark", "--help")
    assert code == 0
    for word in ("--published", "--source-data", "--cohort", "--gene-set", "--out", "Example"):
        assert word in out


WRONG: dict[str, tuple[list[str], str]] = {
    "no run": (["nowhere", "--out", "out"], "no run at nowhere"),
    "no set": (["nowhere", "--out", "out", "--gene-set", "hvgs"], "no gene set 'hvgs'"),
    "no cohort": (["RUN", "--out", "out", "--cohort", "nowhere"], "are not at nowhere; pass --cohort DIR"),
    "no workbook": (["RUN", "--out", "out", "--source-data", "none.xlsx"], "no spreadsheet at none.xlsx"),
    "out is the run": (["RUN", "--out", "RUN"], "choose another --out"),
}


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_ends_in_one_line_and_nothing_written(
    what: str, run_miso: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, message = WRONG[what]
    code, _, err = run_miso("benchmark", *(str(trained) if word == "RUN" else word for word in words))
    assert code == 2
    assert message in err
    assert err.startswith("miso: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()

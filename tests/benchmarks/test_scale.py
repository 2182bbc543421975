"""The parts of `scale.py` at sizes that say nothing of growth; its fleet through the command itself."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from growth import area, sections, spots, tables, workers
from growth.child import command
from growth.extrapolate import Assumptions, assume, newest_gpu
from growth.plan import DEFAULT, SMALL
from growth.plot import draw
from growth.rows import Rows
from miso.errors import ConfigError
from miso.samples import open_cohort
from miso.slides import open_slide

SCALE = Path(__file__).parents[2] / "benchmarks" / "scale.py"


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Rows of costs that grow in step with size, and pages that grow faster."""
    made = Rows(tmp_path / "rows.json")
    for axis, kinds in tables.KINDS.items():
        for what in kinds:
            for n in (10_000, 40_000, 160_000):
                size = {"written_kb": n**1.2} if what == sections.REPORT else {}
                cost = {"wall_s": n / 1e3, "cpu_s": n / 1e3, "peak_mib": 600.0, **size}
                made.measure(axis, what, n, "made up", lambda cost=cost: cost)
    for n in (1, 2):
        cost = {"wall_s": 30 / n, "cpu_s": 30.0, "peak_mib": 600.0, "per_minute": 32.0 * n}
        made.measure(workers.AXIS, workers.WHAT, n, "16 sections", lambda cost=cost: cost)
    return made


def test_the_command_prints_the_fleet_and_its_tables_are_made_again_from_its_file(tmp_path: Path) -> None:
    out = tmp_path / "small.json"
    words = ["--small", "--only", "fleet", "--assume", "slides=300", "--assume", "nodes=2"]
    run = [sys.executable, str(SCALE), *words, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here, or it is another machine
    shown = subprocess.run(run, check=True, capture_output=True, text=True, env=environment).stdout
    assert "300 slides on 16 GPUs, 10 seeds (the rate of a GPU is assumed)" in shown
    held = json.loads(out.read_text())["rows"]
    assert {row["what"] for row in held} >= {"undisturbed", "nodes die", "all of these"}
    for row in held:
        assert row["low_h"] <= row["simulated_h"] <= row["high_h"]
        assert abs(row["difference_pct"]) < 10
    again = "".join(table.markdown() for table in tables.tables(Rows(out)))
    assert "| undisturbed |" in again
    assert "| tiles_per_s | 500 | assumed |" in again


def test_the_tables_say_what_fails(rows: Rows) -> None:
    written = {table.title.split(" ")[0]: table for table in tables.tables(rows)}
    growth = written["exponents"]
    verdicts = {row[0]: row[-1] for row in growth.rows}
    assert verdicts.pop(sections.REPORT) == "FAILS: bytes 1.20 > 1.1"
    assert set(verdicts.values()) == {"passes"}
    assert [row[-1] for row in written["process-cohort"].rows] == ["1.00", "2.00"]
    lines = growth.markdown().splitlines()
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_the_picture_is_drawn_of_all_and_of_nothing(rows: Rows, tmp_path: Path) -> None:
    draw(rows, tmp_path / "all.png")
    draw(Rows(tmp_path / "none.json"), tmp_path / "none.png")
    sizes = [(tmp_path / name).stat().st_size for name in ("all.png", "none.png")]
    assert sizes[0] > sizes[1] > 0


def test_assumptions_are_named_and_typed() -> None:
    made = assume(["nodes=4", "sigma=0.8"], None)
    assert made == replace(Assumptions(), nodes=4, sigma=0.8)
    with pytest.raises(ConfigError, match="did you mean 'nodes'"):
        assume(["node=4"], None)
    with pytest.raises(ConfigError, match="'many' is no int"):
        assume(["nodes=many"], None)


def test_a_measured_rate_is_taken_and_named_until_another_is_assumed(tmp_path: Path) -> None:
    for name, kind in (("gpu_x.json", "cuda"), ("gpu_cpu.json", "cpu")):
        rows = Rows(tmp_path / name, about={"device_type": kind})
        rows.measure("device", "map", 1, "", lambda: {"tiles_per_s": 812.0})
    gpu = newest_gpu(tmp_path)
    assert gpu is not None
    assert gpu.name == "gpu_x.json"
    measured = assume([], gpu)
    assert (measured.tiles_per_s, measured.source("tiles_per_s")) == (812.0, "measured: gpu_x.json")
    assert assume(["tiles_per_s=100"], gpu).source("tiles_per_s") == "assumed"


def test_a_unit_takes_what_its_parts_take() -> None:
    given = Assumptions(tissue_mm2=12.544, passes=2, tiles_per_s=100, gb=1, storage_gb_s=16, nodes=2, gpus=8)
    assert given.units.median_s == pytest.approx(2 * 1000 / 100 + 1 / (16 / 16))


def test_every_work_on_spots_is_measured() -> None:
    given = {key: getattr(SMALL, key) for key in ("dim", "genes", "embed_dim", "attention_dim", "heads")}
    for what in tables.KINDS[spots.AXIS]:
        found = spots.spots_child({"what": what, "n": 200, **given})  # type: ignore[dict-item]
        assert found["wall_s"] > 0  # type: ignore[operator]
        assert found["peak_mib"] >= found["before_mib"]  # type: ignore[operator]


def test_a_slide_is_rewritten_and_mapped(tmp_path: Path) -> None:
    crop = area.texture(SMALL, tmp_path)
    assert crop.shape == (640, 640, 3)
    found = area.rewritten(SMALL, crop, 500, tmp_path)
    assert found["written_kb"] > 0  # type: ignore[operator]
    with open_slide(tmp_path / "out" / "flat_pyr.tif") as slide:
        assert (slide.size_px, slide.mpp) == ((500, 500), 0.5)
    assert area.mapped(SMALL, crop, 300, tmp_path)["peak_mib"] > 0  # type: ignore[operator]


def test_copied_sections_are_others_to_a_cohort(processed: Path, tmp_path: Path) -> None:
    assert len(set(sections.names_of(500))) == 500
    assert len({name[0] for name in sections.names_of(500)}) == 24
    names = sections.names_of(5)
    sections.write_sections(SMALL, tmp_path / "raw", tmp_path, names)
    pictures = [(tmp_path / "raw" / "images" / "HE" / f"{name}.jpg").read_bytes() for name in names]
    assert len(set(pictures)) == 5
    shutil.copytree(processed, tmp_path / "processed")
    page = sections.report_child({"folder": str(tmp_path / "processed"), "n": "3"})
    assert page["written_kb"] > 10  # type: ignore[operator]


def test_training_takes_as_many_sections_as_it_is_told(tmp_path: Path) -> None:
    folder = sections.write_samples(SMALL, tmp_path / "samples", 2)
    assert list(open_cohort(folder).samples) == ["S0", "S1", "S2", "S3"]
    spots_, dims, genes = SMALL.train_sizes
    assert open_cohort(folder).samples["S0"].adata.shape == (spots_, genes)
    assert open_cohort(folder).samples["S0"].adata.obsm["tile_features"].shape == (spots_, dims)


def test_the_table_of_sections_for_workers_names_what_is_there(tmp_path: Path) -> None:
    table = workers.write_table(tmp_path / "samples.csv", tmp_path / "drawn", ("A1", "B1"), 3)
    lines = table.read_text().splitlines()
    assert lines[0] == "name,path,slide,patient"
    assert [line.split(",")[0] for line in lines[1:]] == ["S000", "S001", "S002"]
    assert lines[3].endswith("A1.jpg,P2")


def test_a_command_that_fails_ends_the_run_and_says_which() -> None:
    with pytest.raises(SystemExit, match=r"miso inspect nowhere ended with 2; the rows before it are kept"):
        command("inspect nowhere")


def test_small_stands_for_default_in_every_way() -> None:
    assert len(DEFAULT.sections) == 6
    assert max(DEFAULT.spots) == 500_000
    assert set(DEFAULT.step_spots) <= set(DEFAULT.spots)

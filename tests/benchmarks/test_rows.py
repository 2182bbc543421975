"""The file of figures: written with every row, kept after an interruption, never of two machines."""

import json
from pathlib import Path

import pytest

from growth.rows import Row, Rows


def test_rows_that_are_there_are_not_measured_again(tmp_path: Path) -> None:
    done: list[int] = []

    def work() -> Row:
        done.append(1)
        return {"wall_s": 2.0}

    for _ in range(2):
        Rows(tmp_path / "rows.json").measure("area", "map", 10, "50 genes", work)
    assert done == [1]
    Rows(tmp_path / "rows.json", again=True).measure("area", "map", 10, "50 genes", work)
    assert done == [1, 1]
    assert len(json.loads((tmp_path / "rows.json").read_text())["rows"]) == 1


def test_an_interruption_loses_the_row_in_work_and_no_other(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.json")
    rows.measure("area", "map", 10, "", lambda: {"wall_s": 1.0})

    def interrupted() -> Row:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows.measure("area", "map", 40, "", interrupted)
    again = Rows(tmp_path / "rows.json")
    assert [row["n"] for row in again.rows] == [10]
    assert again.lacks("area", "map", 40, "")
    assert not again.lacks("area", "map", 10, "")


def test_a_row_of_other_sizes_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.json")
    for sizes in ("50 genes", "20 genes"):
        rows.measure("area", "map", 10, sizes, lambda: {"wall_s": 1.0})
    assert [row["sizes"] for row in rows.rows] == ["20 genes"]


def test_rows_of_another_machine_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    Rows(path, about={"device": "a"}).measure("area", "map", 10, "", lambda: {"wall_s": 1.0})
    with pytest.raises(SystemExit, match="another machine"):
        Rows(path, about={"device": "b"})

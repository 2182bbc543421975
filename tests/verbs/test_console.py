"""Tables of figures on whatever screen there is."""

import pytest
from rich.console import Console

from miso.verbs import console


@pytest.mark.parametrize("columns", [44, 60, 200])
def test_on_a_narrow_screen_headings_fold_and_no_figure_is_cut(columns, monkeypatch, capsys):
    monkeypatch.setattr(console, "out", Console(width=columns))
    row = ("miso", "0.1234", "-0.0011", "0.4444")
    console.show_table("a table", ["model", "on raw counts", "permutation floor", "held out"], [row])
    shown = capsys.readouterr().out
    assert all(figure in shown for figure in row)
    assert "…" not in shown

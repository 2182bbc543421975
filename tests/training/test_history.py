"""A fold's history has a line an epoch, also after a kill, and says what is damaged."""

from pathlib import Path

import numpy as np
import pytest

from miso.training.history import History


def test_what_is_added_is_read(tmp_path: Path) -> None:
    history = History(tmp_path / "fold" / "history.csv")
    assert history.read().empty
    history.add("proving 1 of 2", 1, 0.5, 0.25)
    history.add("training", 1, 1e-7, None)
    table = history.read()
    assert table["phase"].tolist() == ["proving 1 of 2", "training"]
    assert table["loss"].tolist() == [0.5, 1e-7]
    np.testing.assert_array_equal(table["score"], [0.25, np.nan])


def test_of_an_epoch_that_was_done_again_the_last_line_counts(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv")
    for epoch, loss in ((1, 3.0), (2, 2.0), (2, 2.5), (3, 1.0)):
        history.add("training", epoch, loss, None)
    table = history.read()
    assert dict(zip(table["epoch"], table["loss"], strict=True)) == {1: 3.0, 2: 2.5, 3: 1.0}


@pytest.mark.parametrize("text", ["", "epoch\n1\n", "phase,epoch,loss,score\ntraining,one,2,3\n"])
def test_a_damaged_table_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(ValueError, match=r"\S"):
        History(tmp_path / "history.csv").read()

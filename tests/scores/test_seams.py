"""A map that steps where its windows meet has a high seam index, a smooth one has 1."""

import numpy as np
import pytest

from miso.scores.seams import seam_index

LINES = range(0, 57, 14)


def test_a_slope_shows_no_seam() -> None:
    row, col = np.indices((56, 56))
    assert seam_index(0.3 * row + col, LINES, LINES) == pytest.approx(1)


def test_a_step_twice_as_high_at_borders_is_two() -> None:
    steps = np.where(np.arange(1, 56) % 14 == 0, 2.0, 1.0)
    line = np.concatenate([[0], np.cumsum(steps)])
    assert seam_index(np.add.outer(line, line), LINES, LINES) == pytest.approx(2)


def test_blocks_of_cells_that_share_a_patch_are_seen_as_patches() -> None:
    row, col = np.indices((28, 28))
    fine = np.kron(row + col, np.ones((2, 2)))
    assert seam_index(fine, LINES, LINES, reach=2) == pytest.approx(1)
    assert seam_index(fine, LINES, LINES, reach=1) == pytest.approx(2, rel=0.1)  # half the lines step


def test_what_was_not_seen_does_not_count() -> None:
    row, col = np.indices((56, 56))
    plane = (row + col).astype(float)
    plane[:20] = np.nan
    assert seam_index(plane, LINES, LINES) == pytest.approx(1)
    assert np.isnan(seam_index(np.full((30, 30), np.nan), LINES, LINES))
    assert np.isnan(seam_index(np.ones((30, 30)), LINES, LINES))

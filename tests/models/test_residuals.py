"""Records of held-out sections are small, can be left out by name, and hold no spot."""

import numpy as np
import pytest
from numpy.typing import NDArray

from miso.models.residuals import FEWEST, LEVELS, PARTS, SHARES, Residuals


def section(n: int = 120, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 5, (n, 2)).astype(np.float32)
    return predicted, predicted + rng.normal(0, 1, (n, 2)).astype(np.float32)


def test_shares_of_the_classes_sum_to_all_and_levels_lie_in_their_middles() -> None:
    assert sum(SHARES) == pytest.approx(1)
    assert len(LEVELS) == len(SHARES)
    np.testing.assert_allclose(LEVELS, np.cumsum(SHARES) - np.array(SHARES) / 2)


def test_a_section_is_recorded_by_what_was_predicted() -> None:
    predicted, measured = section()
    found = Residuals.of_section("A1", predicted, measured)
    assert found is not None
    assert (found.sections, found.spots.tolist()) == (("A1",), [120])
    rank = np.argsort(predicted[:, 0])
    lowest = rank[: 120 // PARTS]
    assert found.mean[0, 0, 0] == pytest.approx(predicted[lowest, 0].mean(), rel=1e-5)
    missed = np.abs(measured - predicted)[lowest, 0]
    np.testing.assert_allclose(
        found.missed[0, 0, :, 0], np.quantile(missed, LEVELS, method="hazen"), rtol=1e-5
    )


def test_spots_without_a_value_do_not_count_and_too_few_make_no_record() -> None:
    predicted, measured = section()
    more = np.vstack([measured, np.full((30, 2), np.nan, np.float32)])
    found = Residuals.of_section("A1", np.vstack([predicted, predicted[:30]]), more)
    alone = Residuals.of_section("A1", predicted, measured)
    assert found is not None
    assert alone is not None
    np.testing.assert_array_equal(found.missed, alone.missed)
    assert Residuals.of_section("A1", predicted[: FEWEST - 1], measured[: FEWEST - 1]) is None


def test_sections_are_put_together_left_out_and_called_otherwise() -> None:
    records = [Residuals.of_section(name, *section(seed=i)) for i, name in enumerate(("A1", "A2", "B1"))]
    together = Residuals.together([record for record in records if record])
    assert together is not None
    assert together.sections == ("A1", "A2", "B1")
    rest = together.without({"A1", "A2"})
    assert rest is not None
    assert records[2] is not None
    np.testing.assert_array_equal(rest.missed, records[2].missed)
    assert rest.renamed({"B1": "section-1"}).sections == ("section-1",)
    assert together.without({"A1", "A2", "B1"}) is None
    assert Residuals.together([]) is None


def test_what_does_not_fit_together_is_noticed() -> None:
    record = Residuals.of_section("A1", *section())
    assert record is not None
    again = Residuals.from_arrays(["A1"], record.arrays())
    np.testing.assert_array_equal(again.missed, record.missed)
    with pytest.raises(ValueError, match="2 sections"):
        Residuals.from_arrays(["A1", "A2"], record.arrays())
    with pytest.raises(KeyError):
        Residuals.from_arrays(["A1"], {"spots": record.spots, "mean": record.mean})


def test_a_large_section_is_told_of_by_some_of_its_spots_and_counts_in_full() -> None:
    found = Residuals.of_section("A1", *section(n=20_000))
    assert found is not None
    assert found.spots.tolist() == [20_000]
    predicted, measured = section(n=20_000)
    highest = np.argsort(predicted[:, 1])[-20_000 // PARTS :]
    exact = np.quantile(np.abs(measured - predicted)[highest, 1], LEVELS)
    np.testing.assert_allclose(found.missed[0, -1, 3:, 1], exact[3:], rtol=0.1)

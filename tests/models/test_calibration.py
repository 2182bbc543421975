"""Intervals cover what they promise on spots that they have not seen, and are wide where noise is."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from miso.errors import CheckpointError
from miso.models.calibration import LEVELS, Calibration, calibrate, half_width
from miso.models.residuals import Residuals

GENES = ("POISSON", "RARE", "FLAT")
RATES = np.array([8.0, 0.15, 3.0])


def section(seed: int, n: int = 400) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Predictions of three genes and what was measured: counts of two, and one whose noise is the same."""
    rng = np.random.default_rng(seed)
    mean = RATES * rng.gamma(1.5, 1 / 1.5, (n, 3))
    measured = rng.poisson(mean).astype(float)
    measured[:, 2] = mean[:, 2] + rng.normal(0, 0.7, n)
    return mean.astype(np.float32), measured.astype(np.float32)


def recorded(n_sections: int, n: int = 400) -> Residuals:
    found = Residuals.together([Residuals.of_section(f"S{i}", *section(i, n)) for i in range(n_sections)])  # type: ignore[misc]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    found = calibrate(recorded(6), GENES)
    assert found is not None
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_intervals_cover_new_spots_as_often_as_they_say(calibration: Calibration, level: float) -> None:
    mean, measured = section(99, n=20_000)
    covered = np.abs(measured - mean) <= half_width(calibration, mean, slice(None), level)
    assert covered.mean(axis=0) == pytest.approx([level] * 3, abs=0.03)


def test_the_spread_follows_the_mean_where_noise_does_and_is_flat_where_it_does_not(
    calibration: Calibration,
) -> None:
    few, many = (half_width(calibration, np.full(3, mean), slice(None)) for mean in (1.0, 16.0))
    assert many[0] / few[0] == pytest.approx(4, rel=0.2)  # √16 of Poisson counts
    assert many[2] / few[2] == pytest.approx(1, rel=0.15)
    assert few[2] == pytest.approx(1.645 * 0.7, rel=0.08)  # 90 % of a normal distribution


def test_the_sketch_of_sections_gives_the_quantiles_of_their_spots() -> None:
    sections = [section(i) for i in range(6)]
    found = calibrate(replace(recorded(6), mean=np.zeros((6, 6, 3), np.float32)), GENES)  # of one width
    assert found is not None
    missed = np.concatenate([np.abs(measured - mean) for mean, measured in sections])
    for level in LEVELS:
        exact = np.quantile(missed, level, axis=0)
        np.testing.assert_allclose(half_width(found, np.zeros(3), slice(None), level), exact, rtol=0.04)


def test_half_widths_are_alike_for_one_gene_and_for_all(calibration: Calibration) -> None:
    mean, _ = section(5)
    together = half_width(calibration, mean, slice(None))
    np.testing.assert_array_equal(together[:, 1], half_width(calibration, mean[:, 1], 1))
    assert together.dtype == np.float32
    assert np.isnan(half_width(calibration, np.array([np.nan]), 0)).all()


def test_fewer_spots_make_wider_intervals_and_too_few_make_none() -> None:
    assert calibrate(None, GENES) is None
    assert calibrate(recorded(2, n=40), GENES) is None
    (few, many) = (calibrate(replace(recorded(1), spots=np.array([n])), GENES) for n in (100, 100_000))
    assert few is not None
    assert many is not None
    assert (few.factors[0.95] > many.factors[0.95]).all()


def test_a_gene_that_no_section_measured_has_no_interval_and_leaves_others_alone() -> None:
    mean, measured = section(1)
    lacking = measured.copy()
    lacking[:, 0] = np.nan
    whole, without = Residuals.of_section("S", mean, measured), Residuals.of_section("S", mean, lacking)
    one, other = calibrate(whole, GENES), calibrate(without, GENES)
    assert one is not None
    assert other is not None
    width = half_width(other, mean, slice(None))
    assert np.isnan(width[:, 0]).all()
    np.testing.assert_array_equal(width[:, 1:], half_width(one, mean, slice(None))[:, 1:])


def test_a_gene_never_counted_and_never_predicted_is_sure_to_be_nought() -> None:
    nothing = np.zeros((200, 1), np.float32)
    found = calibrate(Residuals.of_section("S", nothing, nothing), ["NONE"])
    assert found is not None
    assert half_width(found, nothing, slice(None)).max() == 0


def test_it_goes_through_json_and_keeps_the_genes_asked_for(calibration: Calibration) -> None:
    text = json.dumps(calibration.of(["FLAT", "POISSON"]).to_json(), allow_nan=False)
    found = Calibration.from_json(json.loads(text))
    assert found.genes == ("FLAT", "POISSON")
    mean, _ = section(3)
    np.testing.assert_allclose(
        half_width(found, mean[:, [2, 0]], slice(None)),
        half_width(calibration, mean, slice(None))[:, [2, 0]],
        rtol=1e-4,
    )
    assert (found.spots, found.sections) == (2400, 6)


def test_unknown_genes_stay_unknown_in_json() -> None:
    mean, measured = section(1)
    measured[:, 0] = np.nan
    found = calibrate(Residuals.of_section("S", mean, measured), GENES)
    assert found is not None
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["base"][0] is None
    assert np.isnan(Calibration.from_json(data).base[0])


def test_a_level_without_intervals_is_refused_with_those_there_are(calibration: Calibration) -> None:
    with pytest.raises(CheckpointError, match=r"cover 0\.7 of spots; there are those of 0\.5, 0\.8, 0\.9"):
        half_width(calibration, np.zeros(3), slice(None), 0.7)


def test_damaged_json_is_noticed(calibration: Calibration) -> None:
    data = calibration.to_json()
    with pytest.raises(ValueError, match="other lengths"):
        Calibration.from_json({**data, "slope": data["slope"][:1]})
    with pytest.raises(KeyError):
        Calibration.from_json({key: value for key, value in data.items() if key != "base"})


def test_genes_are_calibrated_alike_a_few_at_a_time(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miso.models.calibration.AT_ONCE", 1)
    again = calibrate(recorded(6), GENES)
    assert again is not None
    assert again.to_json() == calibration.to_json()


def test_a_section_that_two_folds_held_out_is_counted_once() -> None:
    found = calibrate(Residuals.together([recorded(2), recorded(2)]), GENES)
    assert found is not None
    assert (found.spots, found.sections) == (800, 2)

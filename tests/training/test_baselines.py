"""What results stand beside: each baseline sees what its name says, and only the oracle sees test counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from miso.training.baselines import BASELINES, predict_baselines
from miso.training.metrics import mean_pearson
from miso.training.sections import Section

Predictions = dict[str, dict[str, NDArray[np.float32]]]


@pytest.fixture(scope="module")
def predicted(sections: list[Section]) -> Predictions:
    return predict_baselines(sections[:2], sections[2:3], sections[3:], seed=0)


def moved_by(sections: list[Section], predicted: Predictions, **changes: torch.Tensor) -> set[str]:
    """Baselines whose predictions another test section changes."""
    test = replace(sections[3], **changes)
    again = predict_baselines(sections[:2], sections[2:3], [test], seed=0)
    return {name for name in BASELINES if not np.array_equal(again[name]["D1"], predicted[name]["D1"])}


def test_every_baseline_that_is_described_is_there_and_finite(
    sections: list[Section], predicted: Predictions
) -> None:
    assert set(predicted) == set(BASELINES)
    for by_section in predicted.values():
        assert by_section["D1"].shape == tuple(sections[3].y.shape)
        assert np.isfinite(by_section["D1"]).all()


def test_only_the_oracle_sees_the_test_sections_counts(
    sections: list[Section], predicted: Predictions
) -> None:
    y = torch.poisson(torch.full_like(sections[3].y, 9.0))
    assert moved_by(sections, predicted, y=y) == set()
    assert moved_by(sections, predicted, y=y, total=y.sum(1)) == {"total-count"}
    assert "oracle" in BASELINES["total-count"]


def test_each_baseline_looks_at_what_it_is_named_after(
    sections: list[Section], predicted: Predictions
) -> None:
    noise = torch.Generator().manual_seed(0)
    stain, features, xy = (
        torch.randn(x.shape, generator=noise)
        for x in (sections[3].stain, sections[3].features, sections[3].center_um)
    )
    assert moved_by(sections, predicted, stain=stain) == {"stain+ridge", "permutation"}
    assert moved_by(sections, predicted, features=features) == {"pca+ridge", "ridge+neighbours"}
    assert moved_by(sections, predicted, neighbors=sections[3].neighbors.flip(0)) == {"ridge+neighbours"}
    assert moved_by(sections, predicted, center_um=xy) == {"coordinates"}


def test_colour_predicts_and_shuffled_spots_do_not(sections: list[Section]) -> None:
    seeds = [predict_baselines(sections[:2], sections[2:3], sections[3:], seed=seed) for seed in range(5)]
    y = sections[3].y[:, :6].numpy()
    floor = np.mean([mean_pearson(found["permutation"]["D1"][:, :6], y) for found in seeds])
    assert abs(floor) < 0.15
    for name in ("stain+ridge", "pca+ridge", "ridge+neighbours"):
        assert mean_pearson(seeds[0][name]["D1"][:, :6], y) > 0.7
    null = sections[3].y[:, 6:].numpy()
    assert abs(mean_pearson(seeds[0]["stain+ridge"]["D1"][:, 6:], null)) < 0.3


def test_spots_are_shuffled_differently_with_another_seed_and_nothing_else_changes(
    sections: list[Section], predicted: Predictions
) -> None:
    other = predict_baselines(sections[:2], sections[2:3], sections[3:], seed=1)
    changed = {name for name in BASELINES if not np.array_equal(other[name]["D1"], predicted[name]["D1"])}
    assert changed == {"permutation"}


def test_baselines_need_no_validation_section(sections: list[Section]) -> None:
    found = predict_baselines(sections[:2], [], sections[3:], seed=0)
    assert all(np.isfinite(by_section["D1"]).all() for by_section in found.values())

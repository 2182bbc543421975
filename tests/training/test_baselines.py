"""What results stand beside: each baseline sees what its name says, and only the oracle sees test counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from miso.models.miso import standardized
from miso.scores.metrics import mean_pearson
from miso.training.baselines import BASELINES, DRAWS, Values, _principal_components, _shuffled, fit_baselines
from miso.training.sections import Section

Found = dict[str, list[dict[str, Values]]]


def predict_baselines(train: list[Section], val: list[Section], test: list[Section], seed: int) -> Found:
    fitted = fit_baselines(train, val, seed)
    return {name: [{s.name: draw(s) for s in test} for draw in draws] for name, draws in fitted.items()}


@pytest.fixture(scope="module")
def predicted(sections: list[Section]) -> Found:
    return predict_baselines(sections[:2], sections[2:3], sections[3:], seed=0)


def moved_by(sections: list[Section], predicted: Found, **changes: torch.Tensor) -> set[str]:
    """Baselines whose predictions another test section changes."""
    test = replace(sections[3], **changes)
    again = predict_baselines(sections[:2], sections[2:3], [test], seed=0)
    return {name for name in BASELINES if not np.array_equal(again[name][0]["D1"], predicted[name][0]["D1"])}


def test_every_baseline_that_is_described_is_there_and_finite(
    sections: list[Section], predicted: Found
) -> None:
    assert set(predicted) == set(BASELINES)
    assert {name: len(draws) for name, draws in predicted.items() if len(draws) > 1} == {"permutation": DRAWS}
    for by_section in (draw for draws in predicted.values() for draw in draws):
        assert by_section["D1"].shape == tuple(sections[3].y.shape)
        assert np.isfinite(by_section["D1"]).all()


def test_only_the_oracle_sees_the_test_sections_counts(sections: list[Section], predicted: Found) -> None:
    y = torch.poisson(torch.full_like(sections[3].y, 9.0))
    assert moved_by(sections, predicted, y=y) == set()
    assert moved_by(sections, predicted, y=y, total=y.sum(1)) == {"total-count"}
    assert "oracle" in BASELINES["total-count"]


def test_each_baseline_looks_at_what_it_is_named_after(sections: list[Section], predicted: Found) -> None:
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
    found = predict_baselines(sections[:2], sections[2:3], sections[3:], seed=0)
    y = sections[3].y[:, :6].numpy()
    floor = np.mean([mean_pearson(draw["D1"][:, :6], y) for draw in found["permutation"]])
    assert abs(floor) < 0.15
    for name in ("stain+ridge", "pca+ridge", "ridge+neighbours"):
        assert mean_pearson(found[name][0]["D1"][:, :6], y) > 0.7
    null = sections[3].y[:, 6:].numpy()
    assert abs(mean_pearson(found["stain+ridge"][0]["D1"][:, 6:], null)) < 0.3


def test_spots_are_shuffled_differently_with_another_seed_and_nothing_else_changes(
    sections: list[Section], predicted: Found
) -> None:
    other = predict_baselines(sections[:2], sections[2:3], sections[3:], seed=1)
    changed = {
        name for name in BASELINES if not np.array_equal(other[name][0]["D1"], predicted[name][0]["D1"])
    }
    assert changed == {"permutation"}


def test_baselines_need_no_validation_section(sections: list[Section]) -> None:
    found = predict_baselines(sections[:2], [], sections[3:], seed=0)
    assert all(np.isfinite(draws[0]["D1"]).all() for draws in found.values())


def test_pca_keeps_the_components_that_scikit_learn_finds(sections: list[Section]) -> None:
    some = [standardized(s.features).numpy() for s in sections[:2]]
    inputs = _principal_components(sections[:2])
    kept = inputs(sections[3]).shape[1]
    expected = PCA(kept, svd_solver="full").fit(np.concatenate(some)).components_
    found = inputs(sections[3]).numpy()
    theirs = standardized(sections[3].features).numpy() @ expected.T
    assert 10 < kept == min(sum(map(len, some)), some[0].shape[1]) // 2
    np.testing.assert_allclose(np.abs(found[:, :8]), np.abs(theirs[:, :8]), rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose((found**2).sum(1), (theirs**2).sum(1), rtol=1e-3)


def test_shuffles_are_those_that_were_drawn_section_by_section(sections: list[Section]) -> None:
    generator, again = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    for shuffled, section in zip(_shuffled(sections[:2], generator), sections, strict=False):
        order = torch.rand(section.y.shape, generator=again).argsort(0)
        assert torch.equal(shuffled.y, section.y.gather(0, order))

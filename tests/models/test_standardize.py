"""Means and spreads of features are numpy's, in parts or at once."""

import numpy as np
import pytest
import torch
from torch import Tensor

from miso.models import standardize
from miso.models.standardize import FeatureReference

ROWS, DIM = 1000, 4


@pytest.fixture
def features() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 30.0, 0.01, 1.0])
    return torch.randn(ROWS, DIM, generator=generator) * scale + torch.tensor([0.0, 500.0, 0.0, -3.0])


def test_mean_and_spread_are_those_of_numpy(features: Tensor) -> None:
    reference, exact = FeatureReference.of(features), features.double().numpy()
    np.testing.assert_allclose(reference.mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(reference.std, exact.std(0), rtol=1e-6)
    of_patches = FeatureReference.of(features.view(100, 10, DIM))
    assert torch.equal(of_patches.mean, reference.mean)


@pytest.mark.parametrize("size", [1, 7, 999, 1000])
def test_rows_that_come_in_parts_are_the_same_rows(features: Tensor, size: int) -> None:
    whole = FeatureReference.of(features)
    parts = FeatureReference.of_parts(lambda: iter(features.split(size)))
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(parts.std, whole.std, rtol=1e-6, atol=0)


def test_a_large_section_is_taken_in_parts_and_passed_over_twice(
    features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, passes, longest = FeatureReference.of(features), 0, 0
    monkeypatch.setattr(standardize, "AT_ONCE", 64)
    found = FeatureReference.of(features)
    torch.testing.assert_close(found.mean, whole.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.std, whole.std, rtol=1e-6, atol=0)
    double = Tensor.double

    def watched(part: Tensor) -> Tensor:
        nonlocal longest, passes
        longest, passes = max(longest, len(part)), passes + len(part)
        return double(part)

    monkeypatch.setattr(Tensor, "double", watched)
    FeatureReference.of(features)
    assert (longest, passes) == (64, 2 * ROWS)


def test_small_spreads_about_large_means_survive_the_parts() -> None:
    x = (1e4 + torch.linspace(0, 0.5, ROWS))[:, None]
    exact = x.double().numpy().std()
    parts = FeatureReference.of_parts(lambda: x.split(100))
    assert parts.std.item() == pytest.approx(exact, rel=1e-6)


def test_features_are_centred_and_scaled_and_constant_ones_become_zero(features: Tensor) -> None:
    features[:, 3] = 7.7
    scaled = FeatureReference.of(features).apply(features)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0, correction=0), [1, 1, 1, 0], atol=1e-5)
    assert (scaled[:, 3] == 0).all()


def test_a_single_row_has_spread_zero_and_becomes_zero() -> None:
    one = torch.tensor([[3.0, -2.0]])
    reference = FeatureReference.of(one)
    assert reference.std.tolist() == [0, 0]
    assert reference.apply(one).tolist() == [[0, 0]]

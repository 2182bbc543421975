"""The mean and the variance of several models are those of their predictions, one after another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from miso.maps.ensemble import mean_over, moments_over


def said_by(values: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Arguments of models, each of which says one of these values."""
    return {"checkpoints": list(range(len(values))), "run": lambda index: values[index]}


@pytest.mark.parametrize("n", [2, 3, 8])
def test_moments_are_those_of_all_predictions_together(n: int) -> None:
    values = torch.randn(n, 4, 5, 3, generator=torch.Generator().manual_seed(n)) + 1000
    mean, variance = moments_over(**said_by(values))
    np.testing.assert_allclose(mean, values.double().mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, values.double().var(0, correction=1), rtol=1e-3, atol=1e-5)
    assert (variance >= 0).all()
    assert mean.dtype == variance.dtype == np.float32


def test_the_mean_is_bitwise_that_of_predictions_without_a_variance() -> None:
    values = torch.randn(7, 20, 3, generator=torch.Generator().manual_seed(0))
    kept = values.clone()
    np.testing.assert_array_equal(moments_over(**said_by(values))[0], mean_over(**said_by(values)))
    assert torch.equal(values, kept)  # what the models said is not written over


def test_a_single_model_and_models_that_agree_have_no_variance() -> None:
    one = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for values in ([one], [one, one, one]):
        mean, variance = moments_over(**said_by(values))
        assert not variance.any()
        np.testing.assert_allclose(mean, one, rtol=1e-6)

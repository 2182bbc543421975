"""What the linear part sees: centred on each section, first the spot alone; hidden units make a kernel."""

from collections.abc import Callable
from math import asin, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from miso.models import Checkpoint, linear_inputs, load_checkpoint
from miso.models.linear_inputs import HIDDEN_SHARE, LinearInputs

SPOTS, DIM, K, REACH = 41, 5, 7, 3.0


def section(seed: int = 0, spots: int = SPOTS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = 4 * torch.randn(spots, DIM, generator=generator) + torch.arange(DIM)
    lists = torch.stack([torch.randperm(spots, generator=generator)[:K] for _ in range(spots)])
    lists[:, 0] = torch.arange(spots)
    return features, lists


def inputs(hidden: int = 9, *, standardize: bool = True, in_dim: int = DIM) -> LinearInputs:
    torch.manual_seed(3)
    return LinearInputs(in_dim, hidden=hidden, reach=REACH, standardize=standardize)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_column_has_mean_zero_on_every_section(seed: int, standardize: bool) -> None:
    columns = inputs(standardize=standardize)(*section(seed))
    np.testing.assert_allclose(columns.mean(0), 0, atol=1e-5)
    assert (columns.std(0) > 0.01).all()


@pytest.mark.parametrize(("hidden", "alone"), [(9, DIM + 5), (8, DIM + 4), (1, DIM + 1), (0, DIM)])
def test_there_are_as_many_as_are_promised(hidden: int, alone: int) -> None:
    made = inputs(hidden)
    assert (made.alone, made.n) == (alone, 2 * DIM + hidden)
    assert made(*section()).shape == (SPOTS, made.n)


def test_columns_are_what_the_docs_say_in_numpy() -> None:
    made, (features, lists) = inputs(), section()
    own = features.double().numpy()
    fall = np.exp(-np.arange(K) / REACH)
    near = np.stack([fall @ own[list_] / fall.sum() for list_ in lists.numpy()])
    own, near = ((x - x.mean(0)) / x.std(0) for x in (own, near))
    share = HIDDEN_SHARE / sqrt(9)
    expected = np.hstack(
        [
            own,
            share * np.abs(own @ made.of_own.double().numpy()),
            near,
            share * np.abs(np.hstack([own, near]) @ made.of_both.double().numpy()),
        ]
    )
    np.testing.assert_allclose(made(features, lists), expected - expected.mean(0), atol=1e-5)


def test_the_first_do_not_depend_on_neighbours_and_all_others_do() -> None:
    made, (features, lists) = inputs(), section()
    strangers = torch.cat([lists[:, :1], lists[:, 1:].roll(5, dims=0)], dim=1)
    one, other = made(features, lists), made(features, strangers)
    assert torch.equal(one[:, : made.alone], other[:, : made.alone])
    assert (one[:, made.alone :] != other[:, made.alone :]).any(0).all()


@pytest.mark.parametrize("at_once", [16_384, SPOTS, 10, 1])
@pytest.mark.parametrize("standardize", [True, False])
def test_the_product_with_weights_is_that_of_the_inputs_in_parts_of_any_size(
    at_once: int, standardize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, (features, lists) = inputs(standardize=standardize), section()
    weight = torch.randn(made.n, 3, generator=torch.Generator().manual_seed(1))
    expected = made(features, lists).double() @ weight.double()
    monkeypatch.setattr(linear_inputs, "AT_ONCE", at_once)
    found = made.times(weight, features, lists)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made(features, lists).double() @ weight.double(), expected, atol=1e-4, rtol=0)


def test_another_stain_changes_no_input() -> None:
    made, (features, lists) = inputs(), section()
    restained = 2.5 * features - 7 * torch.arange(DIM)
    torch.testing.assert_close(made(restained, lists), made(features, lists), atol=1e-4, rtol=1e-4)
    plain = inputs(standardize=False)
    assert not torch.allclose(plain(restained, lists), plain(features, lists), atol=0.1)


def test_a_single_spot_and_a_feature_that_never_varies_give_zeros() -> None:
    made = inputs()
    one = made(torch.ones(1, DIM), torch.zeros(1, 1, dtype=torch.long))
    assert torch.equal(one, torch.zeros(1, made.n))
    features, lists = section()
    features[:, 2] = 1e3 + 1 / 3
    columns = made(features, lists)
    assert torch.equal(columns[:, 2], torch.zeros(SPOTS))
    assert torch.isfinite(columns).all()


def arc_cosine(a: Tensor, b: Tensor) -> tuple[float, float]:
    """E|w·a| |w·b| over standard normal w, and the variance of |w·a| |w·b|.

    The even part of Cho and Saul's kernel of order 1: |x| is the sum of the rectified x and −x.
    """
    length = a.norm().item() * b.norm().item()
    rho = min(1.0, max(-1.0, (a @ b).item() / length))
    mean = 2 / pi * (sqrt(1 - rho**2) + rho * asin(rho)) * length
    return mean, (1 + 2 * rho**2) * length**2 - mean**2  # E (w·a)² (w·b)² by Isserlis


def test_with_many_hidden_units_ridge_sees_the_arc_cosine_kernel() -> None:
    hidden = 40_000
    made, (features, lists) = inputs(hidden), section()
    columns = made(features, lists).double()
    of_own, of_both = columns[:, DIM : made.alone], columns[:, made.alone + DIM :]
    own = columns[:, :DIM]
    both = torch.cat([own, columns[:, made.alone : made.alone + DIM]], dim=1)
    for seen, units in [(own, of_own), (both, of_both)]:
        kernel = torch.tensor([[arc_cosine(a, b)[0] for b in seen] for a in seen]).double()
        centred = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
        expected = HIDDEN_SHARE**2 * centred / 2  # one half of the units sees each
        for a, b in [(0, 0), (0, 1), (3, 17), (8, 40), (22, 22)]:
            spread = max(arc_cosine(seen[a], seen[b])[1], 0.0) ** 0.5
            error = HIDDEN_SHARE**2 / 2 * spread / sqrt(hidden / 2)
            assert (units[a] @ units[b]).item() == pytest.approx(expected[a, b].item(), abs=5 * error)


def test_hidden_units_weigh_about_the_same_however_many_there_are() -> None:
    features, lists = section()
    few, many = (inputs(hidden)(features, lists) for hidden in (2_000, 20_000))
    torch.testing.assert_close(few.square().sum(), many.square().sum(), rtol=0.05, atol=0)


def test_the_random_units_are_kept_in_checkpoints(
    small_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    made = small_checkpoint()
    made.save(tmp_path / "c")
    kept = load_file(tmp_path / "c" / "model.safetensors")
    assert torch.equal(kept["inputs.of_own"], made.model.inputs.of_own)
    assert torch.equal(kept["inputs.of_both"], made.model.inputs.of_both)
    torch.manual_seed(99)  # a loaded model takes nothing from the process
    found = load_checkpoint(tmp_path / "c").model
    features = torch.randn(12, made.model.networks[0].embed.in_features)
    lists = torch.randint(12, (12, 5))
    assert torch.equal(found.inputs(features, lists), made.model.inputs(features, lists))


def test_units_are_drawn_anew_for_each_seed_and_not_trained() -> None:
    one, two = inputs(), inputs()
    assert torch.equal(one.of_both, two.of_both)
    torch.manual_seed(4)
    other = LinearInputs(DIM, hidden=9, reach=REACH, standardize=True)
    assert not torch.equal(one.of_both, other.of_both)
    assert list(one.parameters()) == []

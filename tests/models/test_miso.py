"""The teacher: decision 5 to the letter when published, its linear part alone when gain is 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from miso.models.attention import NetworkConfig, neighbor_mean
from miso.models.miso import PUBLISHED, MisoConfig, MisoModel, linear_inputs, standardized
from miso.models.ridge import Linear

Array = NDArray[np.float64]
SPOTS, DIM, GENES, K = 23, 7, 5, 6
SMALL = NetworkConfig(embed_dim=24, attention_dim=12, heads=3, depth=2)


def published(network: NetworkConfig = SMALL, **changes: object) -> MisoModel:
    model = MisoModel(DIM, GENES, replace(PUBLISHED, network=network, **changes))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():  # layer norms and biases too, so that forgetting one shows
        parameter.data = torch.randn(parameter.shape, generator=generator) / 3
    return model.double().eval()


def section(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(SPOTS, DIM, generator=generator, dtype=torch.float64)
    neighbors = torch.stack([torch.randperm(SPOTS, generator=generator)[:K] for _ in range(SPOTS)])
    neighbors[:, 0] = torch.arange(SPOTS)
    return features, neighbors


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    spread = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return (x - x.mean(axis=1, keepdims=True)) / spread * weight + bias


def attend(q: Array, k: Array, v: Array, neighbors: Array, heads: int) -> Array:
    """One spot, one head and one neighbour at a time."""
    width = q.shape[1] // heads
    out = np.zeros_like(q)
    for spot in range(len(q)):
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            logits = np.array([q[spot, part] @ k[near, part] for near in neighbors[spot]]) / np.sqrt(width)
            share = np.exp(logits - logits.max())
            share /= share.sum()
            out[spot, part] = sum(s * v[near, part] for s, near in zip(share, neighbors[spot], strict=True))
    return out


def decision_five(model: MisoModel, features: Tensor, neighbors: Tensor) -> Array:
    """The model as the design page words it, in numpy, from the weights alone."""
    w = {name.removeprefix("networks.0."): value.numpy() for name, value in model.state_dict().items()}
    network, lists = model.config.network, neighbors.numpy()
    x = features.numpy() @ w["embed.weight"].T + w["embed.bias"]
    for depth in range(network.depth):
        b = f"blocks.{depth}."
        normed = layer_norm(x, w[f"{b}attention_norm.weight"], w[f"{b}attention_norm.bias"])
        qkv = normed @ w[f"{b}attention.to_qkv.weight"].T + w[f"{b}attention.to_qkv.bias"]
        q, k, v = np.split(qkv, 3, axis=1)
        x = x + attend(q, k, v, lists, network.heads) @ w[f"{b}attention.to_out.weight"].T
        normed = layer_norm(x, w[f"{b}feed_forward_norm.weight"], w[f"{b}feed_forward_norm.bias"])
        x = x + normed @ w[f"{b}feed_forward.weight"].T + w[f"{b}feed_forward.bias"]
    return np.asarray(x @ w["head.weight"].T + w["head.bias"])


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("heads", [1, 4])
def test_the_published_model_is_decision_five_to_the_letter(depth: int, heads: int) -> None:
    model = published(NetworkConfig(embed_dim=24, attention_dim=12, heads=heads, depth=depth))
    features, neighbors = section()
    np.testing.assert_allclose(
        model(features, neighbors).detach().numpy(), decision_five(model, features, neighbors), atol=1e-6
    )


def test_the_published_preset_has_the_published_sizes_and_biases() -> None:
    shapes = {name: tuple(p.shape) for name, p in MisoModel(768, 785, PUBLISHED).named_parameters()}
    assert shapes["networks.0.embed.weight"] == (2048, 768)
    assert shapes["networks.0.blocks.0.attention.to_qkv.weight"] == (3 * 1024, 2048)
    assert shapes["networks.0.blocks.0.attention.to_qkv.bias"] == (3 * 1024,)
    assert shapes["networks.0.blocks.0.attention.to_out.weight"] == (2048, 1024)
    assert "networks.0.blocks.0.attention.to_out.bias" not in shapes
    assert shapes["networks.0.blocks.0.feed_forward.weight"] == (2048, 2048)
    assert shapes["networks.0.head.weight"] == (785, 2048)
    assert PUBLISHED.network.heads == 64
    assert (PUBLISHED.members, PUBLISHED.linear, PUBLISHED.standardize) == (1, False, False)


def test_at_depth_one_only_neighbours_have_a_say() -> None:
    model = published(replace(SMALL, depth=1))
    features, neighbors = section()
    before = model(features, neighbors)
    for stranger in range(SPOTS):
        changed = features.clone()
        changed[stranger] += 5
        moved = (model(changed, neighbors) != before).any(dim=1)
        assert torch.equal(moved, (neighbors == stranger).any(dim=1))


def test_each_further_block_reaches_one_ring_further() -> None:
    model = published(replace(SMALL, depth=2))
    chain = torch.arange(SPOTS)[:, None] + torch.arange(2)  # each spot sees itself and the next
    chain = chain.clamp(max=SPOTS - 1)
    features, _ = section()
    changed = features.clone()
    changed[10] += 5
    moved = (model(changed, chain) != model(features, chain)).any(dim=1).nonzero().flatten()
    assert moved.tolist() == [8, 9, 10]


def test_attention_takes_only_the_nearest_that_the_configuration_names() -> None:
    model = published(replace(SMALL, depth=1), attend=2)
    features, neighbors = section()
    assert torch.equal(model(features, neighbors), model(features, neighbors[:, :2]))
    assert not torch.equal(
        model(features, neighbors), published(replace(SMALL, depth=1))(features, neighbors)
    )


@pytest.mark.parametrize("linear", [False, True])
def test_the_order_of_spots_does_not_matter(linear: bool) -> None:
    model = published(linear=linear, standardize=linear, members=2)
    if linear:
        model.set_linear(
            Linear(weight=torch.randn(2 * DIM, GENES), bias=torch.randn(GENES)), torch.randn(4, GENES)
        )
    features, neighbors = section()
    order = torch.randperm(SPOTS, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)  # where each spot went
    shuffled = model(features[order], place[neighbors[order]])
    torch.testing.assert_close(shuffled, model(features, neighbors)[order], atol=1e-9, rtol=1e-9)


def test_several_members_speak_as_their_mean() -> None:
    model = published(members=3)
    features, neighbors = section()
    each = torch.stack([network(features, neighbors) for network in model.networks])
    assert not torch.allclose(each[0], each[1])
    torch.testing.assert_close(model(features, neighbors), each.mean(0))


@pytest.fixture
def default_model() -> MisoModel:
    torch.manual_seed(0)
    model = MisoModel(DIM, GENES, MisoConfig(attend=4, context=(3,)))
    linear = Linear(weight=torch.randn(2 * DIM, GENES), bias=torch.randn(GENES))
    model.set_linear(linear, torch.randn(4, GENES))
    for network in model.networks:
        torch.nn.init.normal_(network.head.weight)  # type: ignore[arg-type, union-attr]
    return model.eval()


def test_gain_zero_is_the_linear_part_alone(default_model: MisoModel) -> None:
    features, neighbors = section()
    features = features.float()
    around = torch.stack([features[near[:3]].mean(0) for near in neighbors])
    x = torch.cat([(f - f.mean(0)) / f.std(0, correction=0) for f in (features, around)], dim=1)
    default_model.gain.fill_(0.0)
    expected = x @ default_model.linear_weight + default_model.linear_bias
    torch.testing.assert_close(default_model(features, neighbors), expected, atol=1e-5, rtol=1e-5)


def test_the_network_never_moves_the_mean_of_a_section(default_model: MisoModel) -> None:
    features, neighbors = section()
    whole = default_model(features.float(), neighbors)
    default_model.gain.fill_(0.0)
    base = default_model(features.float(), neighbors)
    assert not torch.allclose(whole, base)
    torch.testing.assert_close(whole.mean(0), base.mean(0), atol=1e-4, rtol=1e-4)


def test_a_new_default_model_adds_nothing_to_its_linear_part() -> None:
    model = MisoModel(DIM, GENES, MisoConfig()).eval()
    ones = Linear(weight=torch.ones(2 * DIM, GENES), bias=torch.ones(GENES))
    model.set_linear(ones, torch.ones(4, GENES))
    features, neighbors = section()
    expected = linear_inputs(features.float(), neighbors, model.config).sum(1, keepdim=True) + 1
    torch.testing.assert_close(model(features.float(), neighbors), expected.expand(-1, GENES))


def test_a_stronger_and_brighter_stain_changes_no_default_prediction(
    default_model: MisoModel,
) -> None:
    features, neighbors = section()
    restained = 3 * features.float() + torch.arange(DIM)
    torch.testing.assert_close(
        default_model(restained, neighbors), default_model(features.float(), neighbors), atol=1e-4, rtol=1e-4
    )


def test_a_feature_that_never_varies_becomes_zero_and_not_nan() -> None:
    features, _ = section()
    features[:, 2] = 1e4 + 1 / 3
    scaled = standardized(features.float())
    assert torch.equal(scaled[:, 2], torch.zeros(SPOTS))
    others = [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(scaled[:, others].std(0, correction=0), torch.ones(6))


def test_a_single_spot_is_predicted_and_finite(default_model: MisoModel) -> None:
    one = default_model(torch.randn(1, DIM), torch.zeros(1, 1, dtype=torch.long))
    torch.testing.assert_close(one[0], default_model.linear_bias)


def test_the_mean_over_neighbours_is_theirs_and_not_their_order() -> None:
    features, neighbors = section()
    expected = torch.stack([features[near].mean(0) for near in neighbors])
    torch.testing.assert_close(neighbor_mean(features, neighbors), expected)
    torch.testing.assert_close(neighbor_mean(features, neighbors.flip(1)), expected)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 heads do not divide an attention width of 12"):
        MisoModel(DIM, GENES, replace(PUBLISHED, network=replace(SMALL, heads=5)))

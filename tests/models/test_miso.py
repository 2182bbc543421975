"""The teacher: decision 5 to the letter when published, its linear part alone when gain is 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from miso.models.attention import NetworkConfig
from miso.models.miso import PUBLISHED, MisoConfig, MisoModel, standardized

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
        weight = torch.randn(model.inputs.n, 4)
        model.set_linear(weight, torch.randn(4, GENES), torch.randn(GENES))
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


def test_the_link_of_counts_is_softplus_times_the_scale_of_each_gene() -> None:
    plain, linked = published(), published(link="softplus")
    features, neighbors = section()
    rate = torch.tensor([0.01, 0.5, 3.0, 40.0, 900.0], dtype=torch.float64)
    linked.start_at(rate)
    linked.networks[0].head.load_state_dict(plain.networks[0].head.state_dict())
    output, values = plain(features, neighbors).detach(), linked(features, neighbors).detach()
    np.testing.assert_allclose(values, rate * torch.log1p(torch.exp(output)), rtol=1e-9)
    assert torch.equal(linked.value(output), values)
    assert torch.equal(plain.value(output), output)


def test_a_model_of_counts_starts_at_the_rates_it_is_given_and_never_falls_to_zero() -> None:
    model = published(link="softplus", members=2)
    rate = torch.tensor([0.0, 0.5, 3.0, 40.0, 900.0], dtype=torch.float64)
    model.start_at(rate)
    features, neighbors = section()
    values = model(features, neighbors)
    np.testing.assert_allclose(values.detach()[:, 1:], rate[1:].expand(SPOTS, -1), rtol=1e-6)
    assert (values > 0).all()
    assert (values[:, 0] < 1e-5).all()
    gradient = torch.autograd.grad(values[:, 2].sum(), model.networks[1].head.bias)[0]
    assert gradient[2] > 0
    assert "scale" in model.state_dict()


def test_the_linear_part_has_no_link_but_identity() -> None:
    with pytest.raises(ValueError, match="a model with linear part has no link 'softplus'"):
        MisoModel(DIM, GENES, MisoConfig(link="softplus"))


@pytest.fixture
def default_model() -> MisoModel:
    torch.manual_seed(0)
    model = MisoModel(DIM, GENES, MisoConfig(attend=4, reach=2.0, hidden=6))
    model.set_linear(torch.randn(model.inputs.n, 4), torch.randn(4, GENES), torch.randn(GENES))
    for network in model.networks:
        torch.nn.init.normal_(network.head.weight)  # type: ignore[arg-type, union-attr]
    return model.eval()


def linear_part(model: MisoModel, features: Tensor, neighbors: Tensor) -> Array:
    """Ridge on the spot, its surroundings and hidden units, in numpy, from the buffers alone."""
    fall = np.exp(-np.arange(K) / 2.0)
    f = features.double().numpy()
    around = np.stack([fall @ f[near] / fall.sum() for near in neighbors.numpy()])
    own, around = ((x - x.mean(0)) / x.std(0) for x in (f, around))
    of_own, of_both = (
        0.5 / np.sqrt(6) * np.abs(x @ weight.double().numpy())
        for x, weight in [(own, model.inputs.of_own), (np.hstack([own, around]), model.inputs.of_both)]
    )
    columns = np.hstack([own, of_own, around, of_both])
    amounts = (columns - columns.mean(0)) @ model.linear_weight.double().numpy()
    out = amounts @ model.programs.double().numpy()
    return np.asarray(out + model.linear_bias.double().numpy())


def test_gain_zero_is_the_linear_part_alone(default_model: MisoModel) -> None:
    features, neighbors = section()
    default_model.gain.fill_(0.0)
    expected = linear_part(default_model, features, neighbors)
    found = default_model(features.float(), neighbors).detach()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_a_network_that_no_program_takes_is_not_even_asked(
    default_model: MisoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a network was asked")

    features, neighbors = section()
    monkeypatch.setattr(MisoModel, "mixed", refuse)
    default_model.gain.fill_(0.0)
    default_model(features.float(), neighbors)
    default_model.gain[3] = 0.1
    with pytest.raises(AssertionError, match="was asked"):
        default_model(features.float(), neighbors)


def test_each_program_takes_as_much_of_the_networks_as_its_gain_says(default_model: MisoModel) -> None:
    features, neighbors = section()
    default_model.gain.zero_()[:4] = torch.tensor([0.0, 0.25, 1.0, 0.5])
    whole = default_model(features.float(), neighbors).detach()
    with torch.no_grad():
        said = default_model.mixed(features.float(), neighbors).double().numpy()
    programs, expected = default_model.programs.numpy(), linear_part(default_model, features, neighbors)
    for program, gain in [(1, 0.25), (2, 1.0), (3, 0.5)]:
        amounts = gain * (said[:, program] - said[:, program].mean())
        expected = expected + np.outer(amounts, programs[program])
    np.testing.assert_allclose(whole, expected, atol=1e-4, rtol=1e-4)


def test_the_network_never_moves_the_mean_of_a_section(default_model: MisoModel) -> None:
    features, neighbors = section()
    whole = default_model(features.float(), neighbors)
    default_model.gain.fill_(0.0)
    base = default_model(features.float(), neighbors)
    assert not torch.allclose(whole, base)
    torch.testing.assert_close(whole.mean(0), base.mean(0), atol=1e-4, rtol=1e-4)


def test_a_new_default_model_adds_nothing_to_its_linear_part() -> None:
    model = MisoModel(DIM, GENES, MisoConfig()).eval()
    model.set_linear(torch.ones(model.inputs.n, 1), torch.ones(1, GENES), torch.ones(GENES))
    features, neighbors = section()
    assert (model.gain == 1).all()
    expected = model.inputs(features.float(), neighbors).sum(1, keepdim=True) + 1
    found = model(features.float(), neighbors)
    torch.testing.assert_close(found, expected.expand(-1, GENES), atol=1e-4, rtol=1e-5)


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


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 heads do not divide an attention width of 12"):
        MisoModel(DIM, GENES, replace(PUBLISHED, network=replace(SMALL, heads=5)))

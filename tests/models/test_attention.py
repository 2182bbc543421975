"""Attention in blocks of near spots against gathering each spot's neighbours, as the formula reads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from miso.models import attention
from miso.models.attention import Network, NetworkConfig, mean_over
from miso.models.block_attention import attend
from miso.models.neighborhood import BLOCK, blocks_of, in_halves, parts_with_surroundings

SMALL = NetworkConfig(embed_dim=24, attention_dim=16, heads=4, depth=2)


def lists_of(n, k, seed=0):
    xy = np.random.default_rng(seed).random((n, 2))
    return torch.from_numpy(KDTree(xy).query(xy, min(k, n))[1].reshape(n, -1))


def gathered(query, key, value, lists):
    """Attend as the formula says: softmax(q · k / √d) over the listed spots."""
    scores = torch.einsum("shd,skhd->shk", query, key[lists]) / query.shape[-1] ** 0.5
    return torch.einsum("shk,skhd->shd", scores.softmax(-1), value[lists])


def in_blocks(query, key, value, blocks):
    return attend(torch.stack([query, key, value], dim=1)[blocks.order], blocks)[blocks.place]


def reading(state, x, lists, config):
    """Read decision 5 again in plain PyTorch: embedding, blocks, head; nothing of the package is used."""

    def linear(name, x):
        out = x @ state[f"{name}.weight"].T
        return out + state[f"{name}.bias"] if f"{name}.bias" in state else out

    def norm(name, x):
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]

    x = linear("embed", x)
    for i in range(config.depth):
        block = f"blocks.{i}"
        qkv = linear(f"{block}.attention.to_qkv", norm(f"{block}.attention_norm", x))
        query, key, value = (
            part.reshape(len(x), config.heads, -1) for part in qkv.split(config.attention_dim, dim=1)
        )
        mixed = torch.stack(
            [
                torch.cat(
                    [
                        torch.softmax(key[near, h] @ query[s, h] / query.shape[-1] ** 0.5, 0) @ value[near, h]
                        for h in range(config.heads)
                    ]
                )
                for s, near in enumerate(lists)
            ]
        )
        x = x + linear(f"{block}.attention.to_out", mixed)
        x = x + linear(f"{block}.feed_forward", norm(f"{block}.feed_forward_norm", x))
    return linear("head", x)


def test_the_published_network_is_the_formula_read_again():
    torch.manual_seed(0)
    network = Network(12, 5, SMALL).double()
    x, lists = torch.randn(70, 12, dtype=torch.float64), lists_of(70, 7)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # LayerNorms start as 1 and 0
    expected = reading(network.state_dict(), x, lists, SMALL)
    torch.testing.assert_close(network(x, lists), expected, rtol=0, atol=1e-10)


GOLDEN = [
    [3.29631847, 6.94400245],
    [2.9983542, 6.63188531],
    [2.98281111, 7.28454188],
    [3.37648533, 7.16005986],
]


def test_fixed_weights_give_the_values_that_they_gave():
    def filled(shape, phase):
        count = int(np.prod(shape))
        return torch.sin(torch.arange(count, dtype=torch.float64) * 0.7 + phase).reshape(shape)

    config = replace(SMALL, embed_dim=8, attention_dim=8, heads=2)
    network = Network(3, 2, config).double()
    for phase, parameter in enumerate(network.parameters()):
        parameter.data = filled(parameter.shape, phase) * 0.5
    x, lists = filled((4, 3), 0.3), torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
    found = network(x, lists)
    torch.testing.assert_close(found, reading(network.state_dict(), x, lists, config), rtol=0, atol=1e-12)
    torch.testing.assert_close(found, torch.tensor(GOLDEN, dtype=torch.float64), rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 150), k=st.integers(1, 40), seed=st.integers(0, 99))
def test_blocks_attend_as_gathering_does_and_so_do_gradients(n, k, seed):
    lists, generator = lists_of(n, k, seed), torch.Generator().manual_seed(seed)
    parts = [torch.randn(n, 3, 4, dtype=torch.float64, generator=generator) for _ in range(4)]
    *inputs, grad = parts
    blocks = blocks_of(lists)
    ours, theirs = ([t.clone().requires_grad_() for t in inputs] for _ in range(2))
    mixed = in_blocks(*ours, blocks)
    expected = gathered(*theirs, lists)
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-12)
    mixed.backward(grad)
    expected.backward(grad)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-12)


def test_gradients_in_single_precision_are_those_of_gathering(monkeypatch):
    monkeypatch.setattr("miso.models.block_attention.AT_ONCE", 3)  # many parts
    torch.manual_seed(0)
    lists = lists_of(700, 37)
    ours, theirs = ([torch.randn(700, 8, 16, requires_grad=True) for _ in range(3)] for _ in range(2))
    for mine, other in zip(ours, theirs, strict=True):
        other.data = mine.data.clone()
    blocks = blocks_of(lists)
    in_blocks(*ours, blocks).square().sum().backward()
    gathered(*theirs, lists).square().sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.grad - other.grad).norm() <= 1e-5 * other.grad.norm()


def test_a_spot_that_a_list_names_twice_has_twice_the_weight():
    lists = torch.tensor([[0, 1, 1], [1, 0, 2], [2, 2, 2]])
    query, key, value = (torch.randn(3, 2, 4, dtype=torch.float64) for _ in range(3))
    blocks = blocks_of(lists)
    found = in_blocks(query, key, value, blocks)
    torch.testing.assert_close(found, gathered(query, key, value, lists))


def test_pieces_of_tissue_that_do_not_touch_are_no_trouble():
    first, second = lists_of(40, 5), lists_of(33, 5, seed=1) + 40
    lists = torch.cat([first, second, torch.full((1, 5), 73)])
    torch.manual_seed(0)
    query, key, value = (torch.randn(74, 2, 4, dtype=torch.float64) for _ in range(3))
    blocks = blocks_of(lists)
    found = in_blocks(query, key, value, blocks)
    torch.testing.assert_close(found, gathered(query, key, value, lists))


def test_blocks_of_a_plane_share_most_of_their_neighbours():
    blocks = blocks_of(lists_of(4000, 37))
    assert sorted(blocks.order.tolist()) == list(range(4000))
    assert torch.equal(blocks.order[blocks.place], torch.arange(4000))
    in_a_block = (blocks.times.sum(1) > 0).sum(1).double().mean()
    assert in_a_block < 0.15 * BLOCK * 37  # lists of 32 spots far apart would hold 1184


@given(n=st.integers(1, 300), size=st.integers(1, 64))
def test_halving_keeps_every_point_once_in_whole_runs(n, size):
    order = in_halves(np.random.default_rng(n).random((n, 2)), size)
    assert sorted(order.tolist()) == list(range(n))


@pytest.mark.parametrize("bad", [[[0, 3]], [[-1, 0]]])
def test_a_list_that_names_a_spot_that_is_not_there_is_refused(bad):
    with pytest.raises(ValueError, match="rows of the 1 spots"):
        blocks_of(torch.tensor(bad))


def test_a_large_section_is_predicted_in_parts_as_it_is_whole(monkeypatch):
    torch.manual_seed(0)
    network = Network(6, 3, SMALL).double().eval()
    x, lists = torch.randn(900, 6, dtype=torch.float64), lists_of(900, 9)
    with torch.no_grad():
        whole = network(x, lists)
        monkeypatch.setattr(attention, "AT_ONCE", 128)
        seen = []
        forward = network.forward
        monkeypatch.setattr(network, "forward", lambda x, near: (seen.append(len(x)), forward(x, near))[1])
        parts = mean_over([network], x, lists)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)
    assert len(seen) == 8
    assert max(seen) < 450  # a part of 128 spots, with two steps of nine neighbours about it


def test_parts_hold_all_spots_once_and_lists_reach_only_what_is_there():
    lists = lists_of(500, 9)
    parts = list(parts_with_surroundings(lists, 100, steps=1))
    owned = torch.cat([part.spots[: part.n_own] for part in parts])
    assert sorted(owned.tolist()) == list(range(500))
    for part in parts:
        assert torch.equal(part.spots[part.neighbors[: part.n_own]], lists[part.spots[: part.n_own]])

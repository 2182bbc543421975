"""Attention from blocks of near spots to all that any of them attends to, in bounded memory."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from miso.models.neighborhood import BLOCK, Blocks

AT_ONCE = 32
"""Blocks whose keys, values and weights are in memory at a time on a CPU."""
AT_ONCE_ON_GPU = 1024


def attend(qkv: Float[Tensor, "place 3 head dim"], blocks: Blocks) -> Float[Tensor, "place head dim"]:
    """Mix the values of each spot's neighbours by softmax(query · key / √dim).

    The same, to rounding, as gathering every spot's neighbours (Vaswani et al., 2017, over a list instead of
    a sequence). Backward computes the weights again: what is kept grows with spots, not with neighbours.

    Parameters
    ----------
    qkv
        Query, key and value of each spot, in the blocks' order.
    """
    mixed: Tensor = _Attend.apply(qkv, blocks)  # type: ignore[no-untyped-call]
    return mixed


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv, blocks):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(qkv)
        ctx.blocks = blocks
        query, key, value = qkv.unbind(1)
        mixed = torch.empty_like(query, memory_format=torch.contiguous_format)
        for rows, part in _parts(blocks, len(qkv)):
            keys = blocks.keys[part]
            mixed[rows] = _mix(query[rows], key[keys], value[keys], blocks.times[part])
        return mixed

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (qkv,), blocks = ctx.saved_tensors, ctx.blocks
        query, key, value = qkv.unbind(1)
        total = torch.zeros_like(qkv)
        for rows, part in _parts(blocks, len(qkv)):
            keys = blocks.keys[part]
            q, k, v = (t.detach().requires_grad_() for t in (query[rows], key[keys], value[keys]))
            with torch.enable_grad():
                mixed = _mix(q, k, v, blocks.times[part])
            total[rows, 0], to_key, to_value = torch.autograd.grad(mixed, (q, k, v), grad[rows])
            total[:, 1].index_add_(0, keys.flatten(), to_key.flatten(0, 1))
            total[:, 2].index_add_(0, keys.flatten(), to_value.flatten(0, 1))
        return total, None


def _parts(blocks: Blocks, places: int) -> Iterator[tuple[slice, slice]]:
    """Places and blocks that are worked on together."""
    at_once = AT_ONCE_ON_GPU if blocks.keys.is_cuda else AT_ONCE
    for start in range(0, len(blocks.keys), at_once):
        stop = start + at_once
        yield slice(start * BLOCK, min(stop * BLOCK, places)), slice(start, stop)


def _mix(
    query: Float[Tensor, "place head dim"],
    key: Float[Tensor, "block key head dim"],
    value: Float[Tensor, "block key head dim"],
    times: Float[Tensor, "block row key"],
) -> Float[Tensor, "place head dim"]:
    """Attend within blocks; a key that is in a list twice has twice the weight."""
    places, heads, dim = query.shape
    lacking = len(key) * BLOCK - places
    rows = F.pad(query, (0, 0, 0, 0, 0, lacking)).view(len(key), BLOCK, heads, dim)
    mask = times.to(query.dtype).log()[:, None]  # (block, 1, row, key): −inf where not a neighbour
    mixed = F.scaled_dot_product_attention(
        rows.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask
    )
    return mixed.transpose(1, 2).reshape(-1, heads, dim)[:places]

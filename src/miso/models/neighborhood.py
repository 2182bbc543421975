"""A section's spots in blocks of near ones, which share most of their neighbours.

In a block of 32 spots, 37 neighbours a spot are about 125 spots in all: attending from a block to those, with
the rest masked, moves a tenth of the memory that gathering each spot's own neighbours does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order
from torch import Tensor

BLOCK: Final = 32
MOST_TIMES: Final = 255
Lists = Int[NDArray[np.int64], "spot k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Spots of a section in an order in which `BLOCK` in a row lie near each other.

    Attributes
    ----------
    order, place
        `order[i]` is the spot at place i, and `place[s]` is where spot s is.
    keys
        Places that the spots of a block attend to, padded with 0.
    times
        How often each of them is in a spot's list: 0 or 1, or more where a list names a spot twice.
    """

    order: Int[Tensor, " spot"]
    place: Int[Tensor, " spot"]
    keys: Int[Tensor, "block key"]
    times: UInt8[Tensor, "block row key"]

    def to(self, device: torch.device) -> "Blocks":
        """Move to a device."""
        return Blocks(
            order=self.order.to(device),
            place=self.place.to(device),
            keys=self.keys.to(device),
            times=self.times.to(device),
        )


def blocks_of(neighbors: Int[Tensor, "spot k"]) -> Blocks:
    """Put the spots of a section into blocks, by their lists of neighbours alone.

    Raises
    ------
    ValueError
        If a list names a spot that is not there, or one spot more than 255 times.
    """
    lists = np.ascontiguousarray(neighbors.cpu().numpy())
    n = len(lists)
    if lists.size and not (lists.min() >= 0 and lists.max() < n):
        raise ValueError(
            f"neighbours must be rows of the {n} spots, but reach {lists.min()} to {lists.max()}"
        )
    order = in_halves(unfolded(lists), BLOCK)
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    seen = place[lists[order]]  # by place: the places that each spot attends to
    found = [np.unique(seen[start : start + BLOCK], return_inverse=True) for start in range(0, n, BLOCK)]
    width = max((len(own) for own, _ in found), default=1)
    keys = np.zeros((len(found), width), dtype=np.int64)
    times = np.zeros((len(found), BLOCK, width), dtype=np.uint8)
    for block, (own, column) in enumerate(found):
        keys[block, : len(own)] = own
        times[block] = _times(column.reshape(-1, lists.shape[1]), width)
    return Blocks(
        order=torch.from_numpy(order),
        place=torch.from_numpy(place),
        keys=torch.from_numpy(keys),
        times=torch.from_numpy(times),
    ).to(neighbors.device)


def _times(column: Lists, width: int) -> UInt8[NDArray[np.uint8], "row key"]:
    """Count how often each key is in each row's list; rows that are not there attend to the first key."""
    times = np.zeros((BLOCK, width), dtype=np.int64)
    np.add.at(times, (np.arange(len(column))[:, None], column), 1)
    times[len(column) :, 0] = 1
    if times.max() > MOST_TIMES:
        raise ValueError(f"a list names a spot {times.max()} times")
    return times.astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Spots of a section that lie together, then those that they reach; the lists name rows of `spots`.

    Lists of the outermost spots name themselves for what is not there: right for all but these.
    """

    spots: Int[Tensor, " spot"]
    n_own: int
    neighbors: Int[Tensor, "spot k"]


def parts_with_surroundings(neighbors: Int[Tensor, "spot k"], size: int, steps: int) -> Iterator[Part]:
    """Cut a section into parts of at most `size` spots, each with what lies within some steps of it."""
    lists = np.ascontiguousarray(neighbors.cpu().numpy())
    order = in_halves(unfolded(lists), size)
    row_of = np.full(len(lists), -1, dtype=np.int64)
    for start in range(0, len(lists), size):
        own = order[start : start + size]
        spots = own
        for _ in range(steps):
            spots = np.concatenate([spots, np.setdiff1d(lists[spots], spots)])
        row_of[spots] = np.arange(len(spots))
        rows = row_of[lists[spots]]
        row_of[spots] = -1
        rows = np.where(rows >= 0, rows, np.arange(len(spots))[:, None])
        spots_, rows_ = (torch.from_numpy(array).to(neighbors.device) for array in (spots, rows))
        yield Part(spots=spots_, n_own=len(own), neighbors=rows_)


def unfolded(lists: Lists) -> Float[NDArray[np.float64], "spot 2"]:
    """Rough positions of spots in a plane from their lists alone: steps from far corners of the section.

    Two axes, each the difference or the number of steps along neighbours from far-off spots, smoothed over
    neighbours (landmark embedding; compare de Silva and Tenenbaum, 2004).
    """
    order = _from_near_to_far(lists)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    near = rank[lists[order]]  # what is read together now lies together, however spots are ordered
    graph = _graph(near)
    steps_from = partial(_steps, graph + graph.T)

    def first(found: NDArray[np.bool_]) -> int:
        return int(rank[order[found].min()])

    from_any = steps_from(int(rank[0]))
    from_west = steps_from(first(from_any == from_any.max()))
    across = from_west - steps_from(first(from_west == from_west.max()))
    aside = np.where(from_west >= 0, np.abs(across), np.inf)
    from_middle = steps_from(first(aside == aside.min()))
    positions = np.stack([across, steps_from(first(from_middle == from_middle.max()))], axis=1)
    for _ in range(2):
        positions = positions[near].mean(axis=1)
    return np.asarray(positions[rank])


def _graph(lists: Lists) -> csr_array:
    n, k = lists.shape
    return csr_array((np.ones(n * k), lists.ravel(), np.arange(n + 1) * k), shape=(n, n))


def _from_near_to_far(lists: Lists) -> Int[NDArray[np.int64], " spot"]:
    """Order spots by their steps from the first one; those that no list leads to from there come last."""
    reached = breadth_first_order(_graph(lists), 0, return_predecessors=False).astype(np.int64)
    return np.concatenate([reached, np.setdiff1d(np.arange(len(lists)), reached)])


def _steps(graph: csr_array, spot: int) -> Float[NDArray[np.float64], " spot"]:
    """Count the steps from a spot to all others; −1 to those of other pieces, which lie aside, together."""
    order, before = breadth_first_order(graph, spot)
    rank = np.empty(graph.shape[0], dtype=np.int64)
    rank[order] = np.arange(len(order))
    parents = rank[before[order[1:]]]  # in rising order, since nearer ones are gone on from first
    steps = np.full(graph.shape[0], -1.0)
    begin, end, away = 0, 1, 0
    while begin < end:
        steps[order[begin:end]] = away
        begin, end, away = end, 1 + int(np.searchsorted(parents, end)), away + 1
    return steps


def in_halves(positions: Float[NDArray[np.float64], "spot 2"], size: int) -> Int[NDArray[np.int64], " spot"]:
    """Order points so that every run of `size` lies together: halved along their longer side, and again."""
    waiting, done = [np.arange(len(positions))], []
    while waiting:
        points = waiting.pop()
        if len(points) <= size:
            done.append(points)
            continue
        first = -(-len(points) // size) // 2 * size  # whole runs on either side
        axis = int(np.ptp(positions[points], axis=0).argmax())
        halves = np.argpartition(positions[points, axis], first)
        waiting += [points[halves[first:]], points[halves[:first]]]
    return np.concatenate(done) if done else np.empty(0, dtype=np.int64)

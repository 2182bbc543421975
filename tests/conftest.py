"""Fixtures that many test folders share: a tiny phantom cohort, its Samples, the real data if it is there."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from miso.encoders import Encoder, load_encoder
from miso.errors import MisoError
from miso.phantom import PhantomSpec, write_her2st
from miso.samples.process import process_section
from miso.samples.vendors.st.her2st import find_sections, read_section
from miso.slides import Slide, open_slide

torch.set_num_threads(1)  # tiles are tiny, and threads that wait for each other are slower than one
settings.register_profile("miso", deadline=None)  # two cores are shared: the first example may be slow
settings.load_profile("miso")

PHANTOM = PhantomSpec(seed=5, n_patients=3, n_sections=1, size_um=900, n_visible=8, n_null=2)
"""Three sections, A1, B1 and C1, of 1800 × 1800 px at 0.5 µm/px with about 14 spots each."""


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HER2ST folder; look, but do not write."""
    return write_her2st(PHANTOM, tmp_path_factory.mktemp("phantom") / "her2st")


@pytest.fixture(scope="session")
def stain() -> Encoder:
    """The embedded encoder."""
    return load_encoder("stain")


@pytest.fixture(scope="session")
def processed(phantom: Path, stain: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the phantom's three Samples; look, but do not write."""
    out = tmp_path_factory.mktemp("processed")
    for files in find_sections(phantom):
        with open_slide(files.image) as slide:
            process_section(
                read_section(files),
                slide,
                stain,
                out / files.name,
                name=files.name,
                patient=files.patient,
                knn=5,
            )
    return out


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; a test that needs it is marked `data` and skipped without it."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MISO_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MISO_DATA to its folder")
    return folder


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Slide]:
    """Save a picture and open it as a slide."""

    def save_and_open(image: NDArray[np.uint8], mpp: float = 0.5, name: str = "slide.png") -> Slide:
        Image.fromarray(image).save(tmp_path / name)
        return open_slide(tmp_path / name, mpp)

    return save_and_open


@pytest.fixture
def refusal() -> Callable[[Callable[[], object]], str]:
    """Do something and return what a MisoError says, nothing if it succeeds; other errors are our fault."""

    def attempt(work: Callable[[], object]) -> str:
        try:
            work()
        except MisoError as err:
            return str(err)
        return ""

    return attempt


@pytest.fixture
def spoil() -> Callable[..., bytes]:
    """Flip a bit of a file's content, or at every fourth trial cut it off; `head` keeps to its beginning."""

    def spoiled(whole: bytes, trial: int, head: int | None = None) -> bytes:
        rng, reach = np.random.default_rng(trial), min(len(whole), head or len(whole))
        at = int(rng.integers(reach))
        if trial % 4 == 0:
            return whole[:at]
        return whole[:at] + bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :]

    return spoiled

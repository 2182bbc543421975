"""What cannot be done within a limit is refused in one line, before it is begun."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from miso.encoders import load_encoder
from miso.errors import MisoError
from miso.geometry import TileSpec
from miso.launch import memory
from miso.launch.memory import FLOOR, affordable, limit_memory, require, room_bytes
from miso.maps.super_resolve import super_resolve
from miso.samples.extract import extract_features
from miso.slides import open_slide
from miso.slides.slide import Slide
from miso.training.sections import Held

MB = 10**6


@pytest.fixture(autouse=True)
def _no_limit_afterwards() -> Iterator[None]:
    yield
    limit_memory(None)


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process holds 300 MB."""
    monkeypatch.setattr(memory, "resident_bytes", lambda: 300 * MB)


@pytest.fixture
def slide(tmp_path: Path) -> Iterator[Slide]:
    Image.fromarray(np.full((300, 400, 3), 120, np.uint8)).save(tmp_path / "s.png")
    with open_slide(tmp_path / "s.png", 0.5) as opened:
        yield opened


@pytest.mark.usefixtures("holding")
def test_what_is_left_is_the_limit_without_what_is_held() -> None:
    assert room_bytes() is None
    limit_memory(1000 * MB)
    assert room_bytes() == 700 * MB
    limit_memory(200 * MB)
    assert room_bytes() == 0
    limit_memory(None)
    assert room_bytes() is None


@pytest.mark.usefixtures("holding")
def test_fewer_things_wait_where_there_is_less_room_but_always_one() -> None:
    assert affordable(8, 10**12) == 8
    limit_memory(1100 * MB)  # a kind of thing gets an eighth of 800 MB
    assert [affordable(8, size * MB) for size in (1, 12, 30, 99, 500)] == [8, 8, 3, 1, 1]
    limit_memory(100 * MB)
    assert affordable(8, MB) == 1


@pytest.mark.usefixtures("holding")
def test_it_is_said_how_much_to_allow() -> None:
    limit_memory(400 * MB)
    require(400 * MB - 300 * MB - FLOOR, "nothing")
    said = (
        r"^a map needs 167 MB beside the 300 MB that the program and its models take, more than "
        r"--memory 400MB; allow 514MB or ask for fewer genes$"
    )
    with pytest.raises(MisoError, match=said):
        require(100 * MB, "a map", " or ask for fewer genes")


@pytest.mark.usefixtures("holding")
def test_nothing_is_begun_that_does_not_fit(slide: Slide, tmp_path: Path) -> None:
    limit_memory(310 * MB)
    with pytest.raises(MisoError, match=r"^encoding s\.png needs 67 MB beside the 300 MB"):
        extract_features(
            slide, load_encoder("stain"), np.zeros((1, 2)), TileSpec(size_px=32), tmp_path / "f", "key"
        )
    with pytest.raises(MisoError, match=r"^training needs 67 MB beside the 300 MB"):
        Held.on(torch.device("cpu"))
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]


@pytest.mark.usefixtures("holding")
def test_training_holds_a_quarter_of_what_is_left() -> None:
    limit_memory(1100 * MB)
    assert Held.on(torch.device("cpu")).budget <= 200 * MB
    limit_memory(None)
    before = Held.on(torch.device("cpu")).budget
    limit_memory(10**15)
    assert Held.on(torch.device("cpu")).budget == pytest.approx(before, rel=0.2)


class Many:
    """A model of ten thousand genes."""

    genes, units, grades, calibration = tuple(f"G{i}" for i in range(10_000)), "none", {}, None

    def reference(self, features: np.ndarray) -> int:
        return 0


@pytest.mark.usefixtures("holding")
def test_a_map_of_more_genes_than_fit_is_refused_and_leaves_nothing(slide: Slide, tmp_path: Path) -> None:
    limit_memory(380 * MB)
    said = r"^a map of 10000 genes, 50 cells wide, needs 179 MB beside .* or ask for fewer genes$"
    with pytest.raises(MisoError, match=said):
        super_resolve(slide, load_encoder("stain"), Many(), tmp_path / "m", tissue="all")  # type: ignore[type-var]
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]

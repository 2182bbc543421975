"""The command line, run in this process; a small map for it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from miso import cli
from miso.geometry import Raster
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.slides import Slide

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def in_process() -> Iterator[Callable[[tuple[object, ...]], int]]:
    """Run `miso` with some words; gives the exit code, whatever was printed left where it was."""
    with pytest.MonkeyPatch.context() as patch:

        def run(words: tuple[object, ...]) -> int:
            patch.setattr(sys, "argv", ["miso", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            return int(ended.value.code or 0)

        yield run


@pytest.fixture
def run_miso(in_process: Callable[[tuple[object, ...]], int], capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `miso`; gives the exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = in_process(words)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return run


@pytest.fixture
def miso(run_miso: Run) -> Callable[..., tuple[int, list[str]]]:
    """Run `miso`; gives the exit code and the lines on stderr."""

    def run(*words: object) -> tuple[int, list[str]]:
        code, _, err = run_miso(*words)
        return code, err.strip().splitlines()

    return run


@pytest.fixture
def map_at(save: Callable[..., Slide], tmp_path: Path) -> Path:
    """A map of two genes on a slide of 480 × 320 px."""
    slide = save(np.full((320, 480, 3), 255, np.uint8))
    header = MapHeader(
        genes=("KRT8", "CD3D"),
        units="counts per spot",
        pitch_um=8,
        raster=Raster.over(slide.size_px, 16),
        slide=SlideRecord.of(slide),
        provenance={},
    )
    values = np.random.default_rng(0).uniform(0, 1, (2, 20, 30)).astype(np.float32)
    keep = np.ones((20, 30), np.bool_)
    with new_map(tmp_path / "m.zarr", header, Thumbnail.of(slide), keep) as writer:
        writer.put(0, [values])
    return tmp_path / "m.zarr"

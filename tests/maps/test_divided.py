"""A map made in bands by several processes, whatever befalls them, is the map made in one go, to the byte."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miso.encoders.encoder import Encoder
from miso.errors import MapError
from miso.maps import open_map
from miso.maps.divided import Share, divide
from miso.maps.making import Making
from miso.maps.super_resolve import super_resolve
from miso.storage.claim import Busy, claim

Make = Callable[..., Any]
SIZE = (300, 1300)
OPTIONS = {"tissue": "all", "batch_size": 2, "stride_px": 112}


@pytest.fixture(autouse=True)
def _flat_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 16 rows: maps of SIZE have 6 rows of them."""
    monkeypatch.setattr("miso.maps.store.BUFFER_BYTES", 1)


def files(folder: Path) -> dict[str, bytes]:
    """All files of a map by name, without the time of its making."""
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    root = json.loads(found["zarr.json"])
    del root["attributes"]["miso"]["provenance"]["written"]
    return {**found, "zarr.json": json.dumps(root).encode()}


@pytest.mark.parametrize("count", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("layout", [{"stride_px": 112}, {"stride_px": None, "passes": 4}])
def test_bands_in_any_order_make_the_same_map(
    position_slide: Make,
    encoder_of: Make,
    model_for: Make,
    tmp_path: Path,
    count: int,
    layout: dict[str, Any],
) -> None:
    slide, encoder, options = position_slide(SIZE), encoder_of(context=0.5), {**OPTIONS, **layout}
    super_resolve(slide, encoder, model_for(SIZE), tmp_path / "whole", **options)
    order = np.random.default_rng(count).permutation(count).tolist()
    for index in order[:-1]:
        band = (index, count)
        assert super_resolve(slide, encoder, model_for(SIZE), tmp_path / "m", band=band, **options) is None
        assert not (tmp_path / "m").exists()
    last = (order[-1], count)
    made = super_resolve(slide, encoder, model_for(SIZE), tmp_path / "m", band=last, **options)
    assert made is not None
    assert files(tmp_path / "m") == files(tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"slide.png", "whole", "m"}


def test_rows_without_tissue_are_left_out_as_in_one_go(
    save: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    image = np.full((2400, 300, 3), 250, np.uint8)
    image[160:480] = image[1920:2240] = (150, 60, 140)
    slide, model = save(image), model_for((300, 2400))
    super_resolve(slide, encoder, model, tmp_path / "whole", stride_px=224)
    for index in range(4):
        super_resolve(slide, encoder, model, tmp_path / "m", stride_px=224, band=(index, 4))
    assert files(tmp_path / "m") == files(tmp_path / "whole")


def test_surplus_bands_say_that_they_have_nothing_to_do(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slide, idle = position_slide(SIZE), 0
    with caplog.at_level("INFO"):
        for index in range(9):
            model = model_for(SIZE)
            super_resolve(slide, encoder, model, tmp_path / "m", band=(index, 9), **OPTIONS)
            idle += not model.references
    assert idle == 3
    assert sum("has nothing (more) to do" in said for said in caplog.messages) == 3
    assert (tmp_path / "m").exists()


def test_all_bands_go_by_what_the_first_saw_of_the_slide(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide, models = position_slide(SIZE), [model_for(SIZE), model_for(SIZE)]
    super_resolve(slide, encoder, models[0], tmp_path / "m", band=(0, 2), **OPTIONS)

    def never(*_: object) -> None:
        raise AssertionError("the slide is looked over again")

    monkeypatch.setattr("miso.maps.super_resolve.Painter.look_over", never)
    super_resolve(slide, encoder, models[1], tmp_path / "m", band=(1, 2), **OPTIONS)
    np.testing.assert_array_equal(models[0].looked_at[0], models[1].looked_at[0])


def test_who_comes_while_a_band_or_the_map_is_made_hears_it(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miso.maps.divided.TURN_S", 0.2)
    slide, model, out = position_slide(SIZE), model_for(SIZE), tmp_path / "m"
    with claim(out), pytest.raises(Busy, match="is being made by another process"):
        super_resolve(slide, encoder, model, out, **OPTIONS)
    with claim(out), pytest.raises(Busy, match="is being made by another process"):
        super_resolve(slide, encoder, model, out, band=(0, 3), **OPTIONS)
    super_resolve(slide, encoder, model, out, band=(0, 3), **OPTIONS)
    with claim(Share(index=1, count=3).place(out)):
        with pytest.raises(Busy, match="band-1-of-3 is being made"):
            super_resolve(slide, encoder, model, out, band=(1, 3), **OPTIONS)
        with pytest.raises(Busy, match="band-1-of-3 is being made"):
            super_resolve(slide, encoder, model, out, **OPTIONS)
        with pytest.raises(Busy, match="band-1-of-3 is being made"):
            super_resolve(slide, encoder, model, out, genes=["X"], **OPTIONS)
        assert super_resolve(slide, encoder, model, out, band=(2, 3), **OPTIONS) is None
    assert super_resolve(slide, encoder, model, out, band=(1, 3), **OPTIONS) is not None


def test_a_map_begun_otherwise_is_not_thrown_away(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide, out = position_slide(SIZE), tmp_path / "m"
    super_resolve(slide, encoder, model_for(SIZE), out, band=(0, 3), **OPTIONS)
    for band in (None, (0, 2)):
        with pytest.raises(MapError, match=r"was begun in 3 bands; go on with it like that, or remove .*\.m"):
            super_resolve(slide, encoder, model_for(SIZE), out, band=band, **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        super_resolve(slide, encoder, model_for(SIZE, fail_after=15), tmp_path / "w", **OPTIONS)
    with pytest.raises(MapError, match="was begun in one go"):
        super_resolve(slide, encoder, model_for(SIZE), tmp_path / "w", band=(0, 2), **OPTIONS)


def test_other_bands_are_made_where_nothing_was_done_yet(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path
) -> None:
    slide, out = position_slide(SIZE), tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        super_resolve(slide, encoder, model_for(SIZE, fail_after=0), out, band=(0, 3), **OPTIONS)
    assert super_resolve(slide, encoder, model_for(SIZE), out, **OPTIONS) is not None


def test_a_map_whose_maker_died_before_it_was_renamed_is_whole(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide, out = position_slide(SIZE), tmp_path / "m"
    super_resolve(slide, encoder, model_for(SIZE), out, band=(0, 2), **OPTIONS)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("miso.maps.making.replace_folder", die)
        with pytest.raises(KeyboardInterrupt):
            super_resolve(slide, encoder, model_for(SIZE), out, band=(1, 2), **OPTIONS)
    assert not out.exists()
    model = model_for(SIZE)
    made = super_resolve(slide, encoder, model, out, band=(1, 2), **OPTIONS)
    assert made is not None
    assert not model.references
    assert np.isfinite(made["X"]).all()


@pytest.mark.parametrize("band", [(3, 3), (-1, 3), (0, 0)])
def test_a_band_that_is_none_is_refused(
    position_slide: Make, encoder: Encoder, model_for: Make, tmp_path: Path, band: tuple[int, int]
) -> None:
    with pytest.raises(MapError, match="bands are counted from 0"):
        super_resolve(position_slide(SIZE), encoder, model_for(SIZE), tmp_path / "m", band=band)


def test_bands_have_about_as_many_windows_each() -> None:
    assert divide(np.array([10.0, 10, 10]), 16, 40, 3) == [0, 16, 32, 40]
    assert divide(np.array([1.0, 100, 1]), 16, 40, 3) == [0, 16, 32, 40]
    assert divide(np.array([0.0, 0, 6, 1, 1, 4, 0]), 10, 65, 2) == [0, 30, 65]
    assert divide(np.array([5.0]), 16, 9, 4) == [0, 0, 0, 9, 9]
    rng = np.random.default_rng(0)
    for count in (2, 5, 64):
        windows = rng.integers(0, 50, 300).astype(np.float64)
        edges = np.array(divide(windows, 8, 2400, count))
        assert (np.diff(edges) >= 0).all()
        sums = np.add.reduceat(windows, edges[:-1] // 8)
        assert sums.max() - windows.sum() / count <= 50


MAKER = """
import os, signal, sys
from pathlib import Path
import numpy as np
import torch
from miso.encoders import Encoder, InputContract
from miso.maps import making, store
from miso.maps.super_resolve import super_resolve
from miso.slides import open_slide

place, out, index, count, dies_after = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
store.BUFFER_BYTES = 1
torch.set_num_threads(1)

class Mean(torch.nn.Module):
    def forward(self, x):
        patches = torch.nn.functional.avg_pool2d(x, 16).flatten(2).transpose(1, 2)
        return patches.mean(1), patches + patches.mean(1, keepdim=True) / 3

class Model:
    genes, units, grades, calibration, seen = ("A", "B", "C"), "none", {}, None, 0
    def reference(self, features): return features.mean((0, 1))
    def moments(self, features, reference, genes):
        self.seen += 1
        if self.seen == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return features - reference, np.square(features)
    def novelty(self, features, reference): return features.mean((1, 2))
    def novelty_of_slide(self, reference): return 0.5

finish = making.Making.finish
def logged(self, *what):
    with (place / "finished").open("a") as file:
        file.write(f"{index}\\n")
    finish(self, *what)
making.Making.finish = logged

about = dict(contract=InputContract(), patch_px=16, tile_dim=3, patch_dim=3, licence="none")
encoder = Encoder(name="mean", revision="1", module=Mean(), **about)
print("ready", flush=True)
sys.stdin.readline()
with open_slide(place / "s.png", 0.5) as slide:
    band = (index, count) if count else None
    made = super_resolve(slide, encoder, Model(), place / out, tissue="all", batch_size=2, band=band)
print("finished" if made else "waits")
"""


def maker(place: Path, out: str, band: tuple[int, int], dies_after: int = 0) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", MAKER, str(place), out, *map(str, band), str(dies_after)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=alone
    )


def begin_together(makers: "list[subprocess.Popen[str]]") -> list[tuple[int, str]]:
    """Let all begin at one moment; return how they ended and what they said last."""
    for one in makers:
        assert one.stdout is not None
        assert one.stdin is not None
        assert one.stdout.readline() == "ready\n", one.stderr and one.stderr.read()
    for one in makers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60) for one in makers]
    assert not any("Traceback" in errors for _, errors in said), said
    return [(one.returncode, out.strip()) for one, (out, _) in zip(makers, said, strict=True)]


@pytest.mark.skipif(os.name != "posix", reason="kills a process by SIGKILL")
def test_three_processes_at_once_one_of_them_killed_make_the_map_of_one(
    position_slide: Make, tmp_path: Path
) -> None:
    position_slide((1000, 2600), name="s.png")
    whole = maker(tmp_path, "whole", (0, 0))
    bands = [maker(tmp_path, "m", (index, 3), dies_after=20 * (index == 1)) for index in range(3)]
    assert begin_together([whole]) == [(0, "finished")]
    (tmp_path / "finished").unlink()
    assert begin_together(bands) == [(0, "waits"), (-9, ""), (0, "waits")]
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "finished").exists()
    found = Making.of(tmp_path / "m")
    assert found is not None
    (first, _), safe = found.rows(1), found.written(1)
    assert first < safe  # it had done some of it
    again = [maker(tmp_path, "m", (index, 3)) for index in (1, 0)]
    ended = begin_together(again)
    assert ended[0] == (0, "finished")
    assert ended[1][0] == 0
    assert (tmp_path / "finished").read_text() == "1\n"  # once
    assert files(tmp_path / "m") == files(tmp_path / "whole")
    assert open_map(tmp_path / "m").slide_novelty == 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"s.png", "finished", "whole", "m"}

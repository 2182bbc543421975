"""Features: the right tile for each centre, in order, and the same ones after any interruption."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from miso.encoders import Encoder, InputContract, load_encoder
from miso.errors import EncoderError
from miso.geometry import TileSpec
from miso.samples import extract
from miso.samples.extract import extract_features, reader_count, sample_tiles
from miso.slides import open_slide

TILE = TileSpec(size_px=32, mpp=0.5)
N = 23


@pytest.fixture
def slide(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (200, 260, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "s.png")
    with open_slide(tmp_path / "s.png", 0.5) as opened:
        yield opened


@pytest.fixture
def centres():
    return np.random.default_rng(2).uniform(0, 200, (N, 2)).round()


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(extract, "SHARD", 6)
    monkeypatch.setattr(extract, "BATCH", 4)


def arrays(features):
    return [np.load(path) for path in (features.tiles, features.stain, features.patches)]


def test_each_row_is_the_tile_about_its_centre_encoded(slide, centres, stain, tmp_path):
    tiles, baseline, patches = arrays(extract_features(slide, stain, centres, TILE, tmp_path / "f", "key"))
    assert (tiles.dtype, patches.dtype) == (np.float32, np.float16)
    assert patches.shape == (N, 4, stain.patch_dim)
    for row, (x, y) in enumerate(centres):
        image = slide.read((x - 16, y - 16), (32, 32), 0.5)
        cls, tokens = stain.encode(torch.from_numpy(image[None].copy()))
        np.testing.assert_allclose(tiles[row], cls[0].numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(patches[row], tokens[0].numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(baseline, tiles)


def test_the_colour_baseline_is_kept_beside_any_encoder(slide, centres, counting, tmp_path):
    encoder, _ = counting()
    tiles, baseline, patches = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key"))
    assert tiles.shape == (N, 6)
    assert patches.shape == (N, 4, 3)
    stain = load_encoder("stain")
    _, expected, _ = arrays(extract_features(slide, stain, centres, TILE, tmp_path / "g", "key"))
    np.testing.assert_array_equal(baseline, expected)


def test_a_tile_that_reaches_off_the_slide_is_white_there(slide, counting, tmp_path):
    encoder, _ = counting()
    corners = np.array([[0.0, 0.0], [260.0, 200.0], [1000.0, 1000.0]])
    _, _, patches = arrays(extract_features(slide, encoder, corners, TILE, tmp_path / "f", "key"))
    white = (patches == 1).all(axis=2)  # patches are row-major: 0 1 above 2 3
    np.testing.assert_array_equal(white, [[1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1]])


@pytest.mark.parametrize("breaks_after", [0, 3, 4, 6, 11, 18, 22])
def test_a_killed_extraction_goes_on_where_it_was_and_ends_the_same(
    slide, centres, counting, tmp_path, breaks_after
):
    encoder, _ = counting()
    whole = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "whole", "key"))
    encoder, module = counting()
    module.breaks_after = breaks_after
    with pytest.raises(KeyboardInterrupt):
        extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    before = module.tiles
    encoder, module = counting()
    for found, expected in zip(
        arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")), whole, strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert module.tiles == N - before // 6 * 6  # what was in whole shards is not encoded again


def test_shards_of_other_inputs_or_settings_are_not_taken(slide, centres, counting, tmp_path):
    encoder, module = counting()
    module.breaks_after = 15
    with pytest.raises(KeyboardInterrupt):
        extract_features(slide, encoder, centres, TILE, tmp_path / "f", "one key")
    encoder, module = counting()
    moved = centres + 20
    found = arrays(extract_features(slide, encoder, moved, TILE, tmp_path / "f", "another key"))
    assert module.tiles == N
    fresh = arrays(extract_features(slide, encoder, moved, TILE, tmp_path / "g", "key"))
    for ours, expected in zip(found, fresh, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("content", ["", "{", "no journal"])
def test_a_damaged_journal_costs_the_work_but_not_the_run(slide, centres, counting, tmp_path, content):
    encoder, module = counting()
    module.breaks_after = 15
    with pytest.raises(KeyboardInterrupt):
        extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    journal = json.loads((tmp_path / "f" / "progress.json").read_text())
    assert [start for start, *_ in journal["done"]] == [0, 6]
    (tmp_path / "f" / "progress.json").write_text(content)
    encoder, module = counting()
    extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    assert module.tiles == N


def test_a_finished_extraction_is_not_computed_again(slide, centres, counting, tmp_path):
    encoder, module = counting()
    first = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key"))
    again = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key"))
    assert module.tiles == N
    for found, expected in zip(again, first, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_goes_wrong_in_the_reading_thread_reaches_the_caller(
    slide, centres, counting, tmp_path, monkeypatch
):
    def broken(origin_xy, size_px, mpp):
        raise OSError("the disk is gone")

    monkeypatch.setattr(slide, "read", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        extract_features(slide, counting()[0], centres, TILE, tmp_path / "f", "key")


# ---- what a real kill, a damaged file or a full disk does


KILLER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np, torch
from miso.encoders import Encoder, InputContract
from miso.geometry import TileSpec
from miso.samples import extract
from miso.slides import open_slide

slide, place = map(Path, sys.argv[1:])
extract.SHARD, extract.BATCH = 6, 4

class Scribe(torch.nn.Module):
    def forward(self, x):
        with (place / "log").open("ab", buffering=0) as file:
            file.write(b"." * len(x))
        weight = torch.linspace(-1, 1, 256).outer(torch.linspace(1, 2, 48)).sin()
        patches = torch.nn.functional.unfold(x, 16, stride=16)[:, :256].transpose(1, 2) @ weight
        return patches.mean(1), patches

def work(folder):
    about = dict(contract=InputContract(), patch_px=16, tile_dim=48, patch_dim=48, licence="none")
    encoder = Encoder(name="scribe", revision="1", module=Scribe(), **about)
    centres = np.random.default_rng(2).uniform(0, 200, (101, 2))
    with open_slide(slide, 0.5) as opened:
        extract.extract_features(opened, encoder, centres, TileSpec(size_px=32), place / folder, "key")

def encoded():
    return (place / 'log').stat().st_size if (place / 'log').exists() else 0

def run(folder, stop_at):
    child = os.fork()  # of a process that has no threads
    if child == 0:
        work(folder)
        os._exit(0)
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and encoded() < stop_at:
        time.sleep(0.0002)
    if ended == (0, 0):
        time.sleep(random.uniform(0, 0.005))
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    assert ended[1] in (0, signal.SIGKILL)
    return ended[1] == 0

random, kills = np.random.default_rng(), 0
assert run("whole", 10**9) and encoded() == 101
(place / "log").unlink()
while not run("killed", encoded() + random.integers(1, 40)):
    kills += 1
print(kills, encoded())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_after_sigkill_at_any_moment_the_same_command_ends_the_same(slide, tmp_path):
    """Killed again and again, at random moments, until it ends by itself."""
    command = [sys.executable, "-c", KILLER, str(slide.path), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    kills, encoded = map(int, done.stdout.split())
    assert kills > 0
    assert encoded <= 101 + 6 * kills  # a kill costs one shard at most
    for name in ("tile_features.npy", "stain_features.npy", "patch_features.npy"):
        whole, killed = tmp_path / "whole" / name, tmp_path / "killed" / name
        assert killed.read_bytes() == whole.read_bytes()


def interrupted(slide, centres, counting, folder):
    """Extract two and a half shards."""
    encoder, module = counting()
    module.breaks_after = 15
    with pytest.raises(KeyboardInterrupt):
        extract_features(slide, encoder, centres, TILE, folder, "key")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def grow(path):
    path.write_bytes(path.read_bytes() + b"\0")


def of_another_shape(path):
    array = np.load(path)
    np.save(path, np.ascontiguousarray(array.reshape(len(array), -1)[:, ::-1]).reshape(array.shape).T)


def flip_header(path):
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, grow, of_another_shape, flip_header, Path.unlink])
@pytest.mark.parametrize("name", ["tile_features.npy", "stain_features.npy", "patch_features.npy"])
def test_a_file_that_is_not_whole_is_never_taken_for_done(slide, centres, counting, tmp_path, name, damage):
    whole = arrays(extract_features(slide, counting()[0], centres, TILE, tmp_path / "whole", "key"))
    interrupted(slide, centres, counting, tmp_path / "f")
    damage(tmp_path / "f" / name)
    encoder, module = counting()
    found = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key"))
    assert module.tiles == N
    for ours, expected in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("name", ["tile_features.npy", "stain_features.npy", "patch_features.npy"])
def test_one_wrong_bit_costs_its_shard(slide, centres, counting, tmp_path, name):
    whole = arrays(extract_features(slide, counting()[0], centres, TILE, tmp_path / "f", "key"))
    path = tmp_path / "f" / name
    content = bytearray(path.read_bytes())
    row = (len(content) - 128) // N
    content[128 + 8 * row + row // 2] ^= 4  # of row 8, which is in the second shard of 6
    path.write_bytes(bytes(content))
    encoder, module = counting()
    found = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key"))
    assert module.tiles == 6
    for ours, expected in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours, expected)


JOURNALS = [
    "[]",
    "null",
    "3",
    '{"key": 1}',
    '{"key": {}, "done": 5}',
    '{"key": {}, "done": [[]]}',
    "\x00" * 40,
]


@pytest.mark.parametrize("content", JOURNALS)
def test_a_journal_of_another_make_costs_the_work_but_not_the_run(
    slide, centres, counting, tmp_path, content
):
    interrupted(slide, centres, counting, tmp_path / "f")
    (tmp_path / "f" / "progress.json").write_text(content)
    encoder, module = counting()
    extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    assert module.tiles == N


@pytest.mark.parametrize(("name", "value"), [("BATCH", 3), ("SHARD", 12)])
def test_shards_of_another_batching_are_not_taken(
    slide, centres, counting, tmp_path, monkeypatch, name, value
):
    interrupted(slide, centres, counting, tmp_path / "f")
    monkeypatch.setattr(extract, name, value)
    encoder, module = counting()
    extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    assert module.tiles == N


def test_a_disk_without_room_is_said_before_the_first_tile(slide, centres, counting, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    encoder, module = counting()
    said = r"features of 23 spots take 0\.0156 MB in .*, where 0\.001 MB are free"
    with pytest.raises(OSError, match=said) as full:
        extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    assert full.value.errno == errno.ENOSPC
    assert module.tiles == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_write_that_fails_names_the_file_and_what_is_done_stays_done(
    slide, centres, counting, tmp_path, monkeypatch, code
):
    whole = arrays(extract_features(slide, counting()[0], centres, TILE, tmp_path / "whole", "key"))
    interrupted(slide, centres, counting, tmp_path / "f")
    with monkeypatch.context() as broken:

        def fail(*_):
            raise OSError(code, os.strerror(code))

        broken.setattr(os, "write", fail)
        with pytest.raises(OSError, match=os.strerror(code)) as failure:
            extract_features(slide, counting()[0], centres, TILE, tmp_path / "f", "key")
        assert failure.value.errno == code
        assert failure.value.filename.endswith("features.npy")
    encoder, module = counting()
    found = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key"))
    assert module.tiles == N - 12
    for ours, expected in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_a_place_that_cannot_be_written_is_one_error_with_its_name(slide, centres, counting, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as failure:
        extract_features(slide, counting()[0], centres, TILE, tmp_path / "file" / "f", "key")
    assert "file" in failure.value.filename


@pytest.mark.parametrize("value", [1e6, float("inf"), float("nan")])
def test_a_feature_that_float16_cannot_hold_is_refused(slide, centres, counting, tmp_path, value):
    encoder, module = counting()
    module.forward = lambda x: (torch.zeros(len(x), 6), torch.full((len(x), 4, 3), value))
    with pytest.raises(EncoderError, match="patch features of spots 0 to 3 are not finite"):
        extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")


def test_memory_does_not_grow_with_the_spots(slide, tmp_path):
    """Written through a memory map, all 120 MB would count as this process's."""

    class Wide(torch.nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 6), torch.ones(len(x), 4, 40_000)

    about = {"patch_px": 16, "tile_dim": 6, "patch_dim": 40_000, "licence": "none"}
    encoder = Encoder(name="wide", revision="1", module=Wide(), contract=InputContract(), **about)
    extract_features(slide, encoder, np.full((20, 2), 100.0), TILE, tmp_path / "warm", "key")
    before = peak_mb()
    features = extract_features(slide, encoder, np.full((400, 2), 100.0), TILE, tmp_path / "f", "key")
    assert features.patches.stat().st_size > 120e6
    assert peak_mb() - before < 60


def peak_mb():
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("peak memory is read from /proc")
    return int(next(line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line)) / 1024


def test_readers_are_chosen_from_the_cpus_of_this_process(monkeypatch):
    for cpus, beside_cpu, beside_gpu in ((1, 1, 1), (2, 1, 1), (8, 4, 7), (64, 4, 16)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cpus: set(range(n)), raising=False)
        assert (reader_count(on_gpu=False), reader_count(on_gpu=True)) == (beside_cpu, beside_gpu)


def test_sample_tiles_are_those_of_centres_all_over_the_list(slide, centres):
    tiles = sample_tiles(slide, centres, TILE, count=3)
    for found, (x, y) in zip(tiles, centres[[0, 11, 22]], strict=True):
        np.testing.assert_array_equal(found, slide.read((x - 16, y - 16), (32, 32), 0.5))
    assert len(sample_tiles(slide, centres[:2], TILE, count=8)) == 2

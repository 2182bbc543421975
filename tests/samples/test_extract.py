"""Features: the right tile for each centre, in order, and the same ones after any interruption."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from miso.encoders import load_encoder
from miso.geometry import TileSpec
from miso.samples import extract
from miso.samples.extract import extract_features
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


def test_shards_of_another_size_are_not_taken(slide, centres, counting, tmp_path, monkeypatch):
    encoder, module = counting()
    module.breaks_after = 15
    with pytest.raises(KeyboardInterrupt):
        extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    monkeypatch.setattr(extract, "SHARD", 12)  # as a later version of MISO may have it
    encoder, module = counting()
    found = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key"))
    assert module.tiles == N
    fresh = arrays(extract_features(slide, encoder, centres, TILE, tmp_path / "g", "key"))
    for ours, expected in zip(found, fresh, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("content", ["", "{", "no journal"])
def test_a_damaged_journal_costs_the_work_but_not_the_run(slide, centres, counting, tmp_path, content):
    encoder, module = counting()
    module.breaks_after = 15
    with pytest.raises(KeyboardInterrupt):
        extract_features(slide, encoder, centres, TILE, tmp_path / "f", "key")
    assert json.loads((tmp_path / "f" / "progress.json").read_text())["done"] == [0, 6]
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

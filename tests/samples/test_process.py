"""Sample folders: whole or absent, skipped when the same, refused when another, true to their spots."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from miso.errors import AlignmentError, SampleError
from miso.geometry import TileSpec
from miso.samples import extract, open_sample
from miso.samples.ingest import IngestOptions
from miso.samples.process import process_section
from miso.samples.vendors.st.her2st import read_section
from miso.slides import open_slide

TILE = TileSpec(size_px=32, mpp=0.5)


@pytest.fixture
def noisy(section):
    """The hand-made section on a picture that has something to see."""
    section.image = np.random.default_rng(3).integers(0, 256, section.image.shape, dtype=np.uint8)
    return section


def process(files, encoder, out, *, spots=None, tile=TILE, mpp=None, knn=4, trust=True, **settings):
    section = read_section(files)
    if spots is not None:
        section = replace(section, spots=spots)
    options = IngestOptions(tile_px=tile.size_px, mpp=tile.mpp, slide_mpp=mpp, trust_alignment=trust)
    settings = {"name": files.name, "patient": files.patient, "options": options, "knn": knn} | settings
    with open_slide(files.image) as slide:
        done = process_section(section, slide, encoder, out, **settings)
    return done.sample, done.made


def test_a_sample_holds_its_spots_aligned_with_their_features(noisy, counting, tmp_path):
    files, (encoder, _) = noisy.write(), counting()
    spots = read_section(files).spots
    sample, made = process(files, encoder, tmp_path / "out" / "A1")
    assert made
    adata = sample.adata
    assert list(adata.obs_names) == spots.barcodes
    assert list(adata.var_names) == ["g0", "g1", "g2"]
    np.testing.assert_array_equal(adata.X.toarray(), np.arange(27).reshape(9, 3))
    np.testing.assert_array_equal(adata.obs["total_counts"], adata.X.toarray().sum(axis=1))
    np.testing.assert_array_equal(adata.obs["n_genes"], (adata.X.toarray() > 0).sum(axis=1))
    np.testing.assert_array_equal(adata.obs[["array_x", "array_y"]], spots.array_xy)
    np.testing.assert_array_equal(adata.obsm["spatial"], spots.center_xy)
    np.testing.assert_array_equal(adata.obsm["neighbors"][:, 0], range(9))
    with open_slide(files.image, sample.mpp) as slide:
        for row, centre in enumerate(spots.center_xy):
            image = slide.read(tuple(TILE.origin_xy(centre, slide.mpp)), (32, 32), 0.5)
            cls, patches = encoder.encode(torch.from_numpy(image[None].copy()))
            np.testing.assert_allclose(adata.obsm["tile_features"][row], cls[0], rtol=1e-5)
            np.testing.assert_allclose(sample.patch_features[row], patches[0], rtol=1e-3)


def test_a_sample_says_where_it_came_from(noisy, counting, tmp_path):
    files, (encoder, _) = noisy.write(), counting()
    sample, _ = process(files, encoder, tmp_path / "A1")
    assert (sample.name, sample.patient, sample.encoder_id) == ("A1", "A", "counting@1")
    assert sample.mpp == pytest.approx(200 / 290)
    assert sample.spot_diameter_um == 100
    assert sample.grid.tile == TILE
    assert sample.grid.n_patches == sample.patch_features.shape[1] == 4
    manifest = json.loads((tmp_path / "A1" / "sample.json").read_text())
    assert set(manifest["settings"]["inputs"]) == {"A1.tsv.gz", "A1_selection.tsv.gz", "A1.png"}
    assert manifest["resolution"]["source"] == "lattice pitch of 200 µm"
    assert manifest["miso_version"]
    assert sample.adata.uns["miso"]["settings"]["encoder"] == "counting@1"


def test_only_what_belongs_to_a_sample_stays_in_its_folder(noisy, counting, tmp_path):
    process(noisy.write(), counting()[0], tmp_path / "out" / "A1")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"A1"}
    assert {path.name for path in (tmp_path / "out" / "A1").iterdir()} == {
        "adata.h5ad",
        "patch_features.npy",
        "sample.json",
    }


def test_the_same_sample_is_kept_and_nothing_is_encoded(noisy, counting, tmp_path):
    files = noisy.write()
    process(files, counting()[0], tmp_path / "A1")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "A1").iterdir()}
    encoder, module = counting()
    sample, made = process(files, encoder, tmp_path / "A1")
    assert not made
    assert module.tiles == 0
    assert sample.name == "A1"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "A1").iterdir()} == before


def test_a_sample_of_other_settings_is_refused_with_what_differs(noisy, counting, tmp_path):
    files, (encoder, _) = noisy.write(), counting()
    process(files, encoder, tmp_path / "A1")
    for changed, said in (
        ({"knn": 5}, "knn is 4, now 5"),
        ({"tile": TileSpec(size_px=64, mpp=0.5)}, "tile.size_px is 32, now 64"),
        ({"tile": TileSpec(size_px=32, mpp=1.0)}, "tile.mpp is 0.5, now 1.0"),
    ):
        with pytest.raises(SampleError, match=rf"was made with other settings: {said}\. Remove that folder"):
            process(files, encoder, tmp_path / "A1", **changed)
    with pytest.raises(SampleError, match="encoder is counting@1, now counting@2"):
        process(files, counting("2")[0], tmp_path / "A1")
    with pytest.raises(SampleError, match=r"slide_mpp is 0\.689\d+, now 0\.7"):
        process(files, encoder, tmp_path / "A1", mpp=0.7)
    noisy.counts.iloc[0, 0] += 1
    with pytest.raises(SampleError, match=r"inputs\.A1\.tsv\.gz is \w+, now \w+"):
        process(noisy.write(), encoder, tmp_path / "A1")
    assert open_sample(tmp_path / "A1").manifest["settings"]["knn"] == 4


def test_a_folder_or_file_that_is_no_sample_is_never_written_over(noisy, counting, tmp_path):
    files = noisy.write()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("thesis", "file"):
        with pytest.raises(
            SampleError, match=f"{name} is there and is no Sample; remove it or choose another output"
        ):
            process(files, counting()[0], tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert process(files, counting()[0], tmp_path / "empty")[1]


def test_input_folders_gain_nothing_but_the_output(noisy, counting):
    files = noisy.write()
    before = {path: path.read_bytes() for path in noisy.folder.rglob("*") if path.is_file()}
    process(files, counting()[0], noisy.folder / "processed_data" / "A1")
    assert {path.name for path in noisy.folder.iterdir()} == {
        "count-matrices",
        "images",
        "processed_data",
        "spot-selections",
    }
    assert {path: path.read_bytes() for path in before} == before


def test_spots_with_swapped_axes_are_refused_with_that_hint(noisy, counting, tmp_path):
    noisy.spots[["pixel_x", "pixel_y"]] = noisy.spots[["pixel_y", "pixel_x"]].to_numpy() + np.array([0, 180])
    with pytest.raises(
        AlignmentError,
        match=r"\d of 9 spots of 'A1' lie off 'A1\.png' \(1000 × 900 px\); with x and y swapped",
    ):
        process(noisy.write(), counting()[0], tmp_path / "A1")
    assert not (tmp_path / "A1").exists()


def test_spots_of_another_image_are_refused(noisy, counting, tmp_path):
    noisy.spots[["pixel_x", "pixel_y"]] *= 4
    with pytest.raises(AlignmentError, match="is this the image that they were placed on"):
        process(noisy.write(), counting()[0], tmp_path / "A1")
    assert not list(tmp_path.glob("**/.*partial*"))


def test_a_spot_at_the_border_gets_a_whole_tile_with_white_off_the_slide(noisy, counting, tmp_path):
    noisy.image[:] = 0
    noisy.spots["pixel_x"] -= 200  # the left column of spots lies at x = 0
    sample, _ = process(noisy.write(), counting()[0], tmp_path / "A1")
    patches = np.asarray(sample.patch_features, dtype=float)[..., 0]  # 2 × 2 patches, row-major
    edge = sample.adata.obsm["spatial"][:, 0] == 0
    assert edge.sum() == 3
    assert (patches[edge][:, [0, 2]] > 0.9).all()
    assert (patches[edge][:, [1, 3]] < 0.1).all()
    assert (patches[~edge] == 0).all()


def test_after_a_kill_there_is_no_sample_and_the_next_run_ends_the_same(
    noisy, counting, tmp_path, monkeypatch
):
    monkeypatch.setattr(extract, "SHARD", 4)
    monkeypatch.setattr(extract, "BATCH", 2)
    files, (encoder, module) = noisy.write(), counting()
    whole, _ = process(files, encoder, tmp_path / "whole")
    module.tiles, module.breaks_after = 0, 7
    with pytest.raises(KeyboardInterrupt):
        process(files, encoder, tmp_path / "A1")
    assert not (tmp_path / "A1").exists()
    assert (tmp_path / ".A1.partial").is_dir()
    module.tiles, module.breaks_after = 0, 10**9
    sample, _ = process(files, encoder, tmp_path / "A1")
    assert module.tiles == 5  # of nine; one shard of four was whole
    assert not (tmp_path / ".A1.partial").exists()
    np.testing.assert_array_equal(sample.adata.obsm["tile_features"], whole.adata.obsm["tile_features"])
    np.testing.assert_array_equal(sample.patch_features, whole.patch_features)


def test_a_kill_after_the_encoding_costs_no_encoding(noisy, counting, tmp_path):
    files, (encoder, module) = noisy.write(), counting()

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(files, encoder, tmp_path / "A1", draw_alignment=interrupted)
    assert not (tmp_path / "A1").exists()
    assert module.tiles == 9
    sample, made = process(files, encoder, tmp_path / "A1")
    assert made
    assert module.tiles == 9
    assert sample.adata.obsm["tile_features"].shape == (9, 6)


def test_a_partial_of_other_settings_is_not_taken_up(noisy, counting, tmp_path):
    files, (encoder, module) = noisy.write(), counting()

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(files, encoder, tmp_path / "A1", draw_alignment=interrupted)
    fresh, _ = process(files, encoder, tmp_path / "B1", tile=TileSpec(size_px=32, mpp=1.0))
    module.tiles = 0
    sample, _ = process(files, encoder, tmp_path / "A1", tile=TileSpec(size_px=32, mpp=1.0))
    assert module.tiles == 9
    np.testing.assert_array_equal(sample.patch_features, fresh.patch_features)


def test_a_damaged_picture_leaves_nothing_behind(noisy, counting, tmp_path):
    files = noisy.write()
    content = files.image.read_bytes()
    files.image.write_bytes(content[: len(content) // 2])
    with pytest.raises(Exception, match=r"'A1\.png' is truncated or damaged"):
        process(files, counting()[0], tmp_path / "out" / "A1")
    assert not (tmp_path / "out").exists()


def test_the_picture_of_the_alignment_is_drawn_into_the_sample(noisy, counting, tmp_path):
    def draw(path, spots, slide):
        path.write_text(f"{len(spots)} spots on {slide.path.name}")

    process(noisy.write(), counting()[0], tmp_path / "A1", draw_alignment=draw)
    assert (tmp_path / "A1" / "alignment.png").read_text() == "9 spots on A1.png"


def test_neighbours_are_never_more_than_there_are_spots(noisy, counting, tmp_path):
    sample, _ = process(noisy.write(), counting()[0], tmp_path / "A1", knn=37)
    assert sample.adata.obsm["neighbors"].shape == (9, 9)


@pytest.mark.parametrize("k", [1, 3, 4, 6, 9, 50])
def test_any_number_of_neighbours_is_had_from_a_sample_that_stored_four(noisy, counting, tmp_path, k):
    sample, _ = process(noisy.write(), counting()[0], tmp_path / "A1", knn=4)
    centres = sample.adata.obsm["spatial"]
    found = sample.neighbors(k)
    assert found.shape == (9, min(k, 9))
    np.testing.assert_array_equal(found[:, 0], range(9))
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    expected = np.sort(distance, axis=1)[:, :k]
    np.testing.assert_allclose(np.take_along_axis(distance, found, axis=1), expected)


def test_fewer_spots_of_the_same_files_are_another_sample(noisy, counting, tmp_path):
    files, (encoder, _) = noisy.write(), counting()
    spots = read_section(files).spots
    process(files, encoder, tmp_path / "A1")
    fewer = replace(
        spots,
        barcodes=spots.barcodes[:8],
        center_xy=spots.center_xy[:8],
        array_xy=spots.array_xy[:8],
        counts=spots.counts[:8],
    )
    with pytest.raises(SampleError, match="spots is 9, now 8"):
        process(files, encoder, tmp_path / "A1", spots=fewer)


@pytest.fixture
def broken(processed, tmp_path):
    shutil.copytree(processed / "A1", tmp_path / "A1")
    return tmp_path / "A1"


def test_what_is_no_sample_cannot_be_opened(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SampleError, match=r"no Sample at .*: it has no sample\.json"):
            open_sample(path)


def test_a_sample_of_another_layout_is_refused(broken):
    manifest = json.loads((broken / "sample.json").read_text())
    (broken / "sample.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(SampleError, match="has layout 99, this version of MISO reads 1"):
        open_sample(broken)


@pytest.mark.parametrize("content", ["", "{", "[1"])
def test_a_damaged_manifest_is_named(broken, content):
    (broken / "sample.json").write_text(content)
    with pytest.raises(SampleError, match=r"sample\.json is damaged"):
        open_sample(broken)


@pytest.mark.parametrize("kept", [0, 100, 0.5], ids=["empty", "start", "half"])
def test_damaged_tables_and_features_are_named(broken, kept):
    for name in ("adata.h5ad", "patch_features.npy"):
        content = (broken / name).read_bytes()
        (broken / name).write_bytes(content[: int(kept if kept != 0.5 else len(content) / 2)])
    sample = open_sample(broken)
    with pytest.raises(SampleError, match=r"adata\.h5ad is damaged"):
        _ = sample.adata
    with pytest.raises(SampleError, match=r"patch_features\.npy is damaged"):
        _ = sample.patch_features


def test_an_absent_label_set_is_refused_with_those_there_are(processed):
    with pytest.raises(SampleError, match=r"sample 'A1' has no label set 'pseudolabels' \(none at all\)"):
        open_sample(processed / "A1").labels("pseudolabels")

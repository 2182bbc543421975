"""The original MISO's folders, in both flavours and both directions; the truth is what was put in."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anndata
import numpy as np
import pytest

from miso.errors import MisoError, SampleError, SlideError
from miso.samples import open_sample
from miso.samples.sample import slide_fingerprint
from miso.samples.vendors.original.export import export_original
from miso.samples.vendors.original.sample import import_original

SIDE, PATCH = 4, 56
"""A tile of 224 px has 4 × 4 patches of 56 px here."""


@dataclass
class Folder:
    """A section by hand: 36 spots 200 px apart; change the arrays, then `write`."""

    at: Path
    flavour: str
    downsample: float = 1.0
    arrays: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        col, row = (axis.ravel() for axis in np.meshgrid(np.arange(6), np.arange(6)))
        if self.flavour == "visium":
            self.center_xy = np.stack([col + row % 2 / 2, row * np.sqrt(0.75)], axis=1) * 200 + 1000
            self.barcodes = np.array(["ACGTTGCA"[i % 8] + "ACGT" * 3 + f"ACGT-{i}" for i in range(36)])
            lead = self.center_xy - 112 * self.downsample
        else:
            self.center_xy = np.stack([col, row], axis=1) * 200.0 + [1000, 1700]
            self.barcodes = np.array([f"{x}x{y}" for x, y in zip(col + 3, row + 9, strict=True)]).astype("S")
            lead = self.center_xy[:, ::-1]
        down, across = (axis.ravel() for axis in np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"))
        steps = np.stack([across, down] if self.flavour == "visium" else [down, across], axis=1)
        at = lead[:, None] + steps * PATCH * self.downsample
        self.tiles = rng.normal(size=(36, 5))
        self.patches = rng.normal(size=(36, SIDE**2, 3)).astype(np.float16)
        self.reads = rng.poisson(3, (36, 4)).astype(np.int64)
        distance = np.linalg.norm(self.center_xy[:, None] - self.center_xy, axis=2)
        self.arrays = {
            "features": np.concatenate([np.zeros((36, 1)), lead, self.tiles], axis=1),
            "features_subtile": np.concatenate([np.zeros((36, SIDE**2, 1)), at, self.patches], axis=2),
            "neighbors": np.argsort(distance, axis=1, kind="stable")[:, :7],
            "barcodes": self.barcodes,
            "raw_reads/reads": self.reads[::-1],
            "raw_reads/gene_names": np.array(["A", "B", "C", "D"], dtype=object),
            "raw_reads/barcodes": self.barcodes[::-1],
        }

    def write(self) -> Path:
        """Write the arrays as they are now."""
        (self.at / "raw_reads").mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays.items():
            np.save(self.at / f"{name}.npy", array, allow_pickle=True)
        return self.at

    def read(self, out: str = "S1", **options: object):
        """Write, and import."""
        options = {"encoder": "h0-mini", "patch_px": PATCH, **options}
        return import_original(self.write(), self.at.parent / out, **options)


@pytest.fixture(params=["visium", "her2st"])
def original(request, tmp_path):
    return Folder(tmp_path / "original", request.param)


@pytest.fixture
def visium(tmp_path):
    return Folder(tmp_path / "original", "visium")


def test_both_flavours_are_told_apart_and_read_whole(original):
    sample = original.read(name="s", patient="p")
    adata = sample.adata
    np.testing.assert_allclose(adata.obsm["spatial"], original.center_xy)
    np.testing.assert_array_equal(adata.obsm["tile_features"], original.tiles.astype(np.float32))
    np.testing.assert_array_equal(sample.patch_features, original.patches)
    np.testing.assert_array_equal(adata.X.toarray(), original.reads)  # joined by barcode, not by order
    np.testing.assert_array_equal(adata.obsm["neighbors"], original.arrays["neighbors"])
    assert list(adata.obs_names) == [
        b if isinstance(b, str) else b.decode() for b in original.barcodes.tolist()
    ]
    assert list(adata.var_names) == ["A", "B", "C", "D"]
    assert (sample.name, sample.patient, sample.encoder_id) == ("s", "p", "h0-mini@unknown")
    assert sample.manifest["layout"] == f"original MISO ({original.flavour})"
    pitch_um = {"visium": 100, "her2st": 200}[original.flavour]
    assert sample.mpp == pytest.approx(pitch_um / 200)
    assert (sample.grid.tile.size_px, sample.grid.tile.mpp) == (224, pytest.approx(sample.mpp))


@pytest.mark.parametrize("downsample", [2.0, 4.0, 1.39])
@pytest.mark.parametrize("flavour", ["visium", "her2st"])
def test_the_scale_of_a_tile_follows_from_its_patches(tmp_path, flavour, downsample):
    folder = Folder(tmp_path / "original", flavour, downsample)
    folder.arrays["features_subtile"] = folder.arrays["features_subtile"].astype(np.float32)
    sample = folder.read(slide_mpp=0.25)
    assert sample.grid.tile.mpp == pytest.approx(0.25 * downsample, rel=1e-6)
    np.testing.assert_allclose(sample.adata.obsm["spatial"], folder.center_xy, atol=1e-3)


@pytest.mark.parametrize("flavour", ["visium", "her2st"])
def test_what_is_exported_comes_back_the_same(processed, tmp_path, flavour):
    sample = open_sample(processed / "A1")
    export_original(sample, tmp_path / "exported", flavour=flavour)
    back = import_original(
        tmp_path / "exported",
        tmp_path / "back",
        encoder="stain",
        revision=sample.encoder_id.rpartition("@")[2],
        patch_px=sample.grid.patch_px,
        slide_mpp=sample.mpp,
        name=sample.name,
        patient=sample.patient,
    )
    assert (back.name, back.patient, back.encoder_id) == (sample.name, sample.patient, sample.encoder_id)
    assert (back.grid, back.mpp, back.spot_diameter_um) == (sample.grid, sample.mpp, sample.spot_diameter_um)
    np.testing.assert_array_equal(back.patch_features, sample.patch_features)
    for key in ("tile_features", "neighbors"):
        np.testing.assert_array_equal(back.adata.obsm[key], sample.adata.obsm[key])
    np.testing.assert_allclose(back.adata.obsm["spatial"], sample.adata.obsm["spatial"], rtol=1e-12)
    np.testing.assert_array_equal(back.adata.X.toarray(), sample.adata.X.toarray())
    assert list(back.adata.obs_names) == list(sample.adata.obs_names)
    assert list(back.adata.var_names) == list(sample.adata.var_names)


def test_an_exported_folder_has_the_originals_columns_and_no_pickle(processed, tmp_path):
    sample = open_sample(processed / "A1")
    export_original(sample, tmp_path / "v", flavour="visium")
    export_original(sample, tmp_path / "h", flavour="her2st")
    center, side = sample.adata.obsm["spatial"], 224 * sample.grid.tile.mpp / sample.mpp
    visium, her2st = (np.load(tmp_path / name / "features.npy") for name in "vh")
    np.testing.assert_allclose(visium[:, 1:3], center - side / 2)
    np.testing.assert_allclose(her2st[:, 1:3], center[:, ::-1])
    np.testing.assert_array_equal(visium[:, 3:], sample.adata.obsm["tile_features"])
    visium, her2st = (np.load(tmp_path / name / "features_subtile.npy") for name in "vh")
    step = sample.grid.patch_px * sample.grid.tile.mpp / sample.mpp
    np.testing.assert_allclose(visium[0, 1, 1:3] - visium[0, 0, 1:3], [step, 0], atol=1e-3)
    np.testing.assert_allclose(her2st[0, 1, 1:3] - her2st[0, 0, 1:3], [0, step], atol=1e-3)
    names = ["barcodes", "raw_reads/barcodes", "raw_reads/gene_names"]
    kinds = [np.load(tmp_path / "h" / f"{name}.npy").dtype.kind for name in names]  # allow_pickle=False
    assert kinds == ["S", "S", "U"]


def test_a_second_export_into_a_full_folder_is_refused(processed, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").touch()
    with pytest.raises(SampleError, match="is there already; remove it or choose another output"):
        export_original(open_sample(processed / "A1"), tmp_path / "there", flavour="visium")


def test_an_export_that_fails_leaves_nothing(processed, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("miso.samples.vendors.original.export._write_reads", full)
    with pytest.raises(OSError, match="No space"):
        export_original(open_sample(processed / "A1"), tmp_path / "out", flavour="visium")
    assert list(tmp_path.iterdir()) == []


def test_importing_again_keeps_what_is_there_and_refuses_other_settings(original):
    first = original.read()
    written = (first.path / "sample.json").stat().st_mtime_ns
    assert (original.read().path / "sample.json").stat().st_mtime_ns == written
    with pytest.raises(SampleError, match="was made with other settings: encoder is"):
        original.read(encoder="uni")


def test_the_features_stand_for_the_slide_so_that_no_two_sections_are_one(visium, tmp_path):
    first = visium.read()
    visium.arrays["features"][0, 5] += 1
    assert slide_fingerprint(first)
    assert slide_fingerprint(first) != slide_fingerprint(visium.read("S2"))


def test_reads_that_lack_spots_drop_them_and_find_neighbours_anew(original):
    for key in ("reads", "barcodes"):
        original.arrays[f"raw_reads/{key}"] = original.arrays[f"raw_reads/{key}"][:30]
    sample = original.read()
    assert len(sample.adata) == 30
    np.testing.assert_array_equal(sample.adata.X.toarray(), original.reads[6:])
    np.testing.assert_array_equal(sample.patch_features, original.patches[6:])
    assert sample.adata.obsm["neighbors"].shape == (30, 7)
    np.testing.assert_array_equal(sample.adata.obsm["neighbors"][:, 0], np.arange(30))
    notes = sample.manifest["notes"]
    assert "6 of 36 spots have no reads and were dropped" in notes
    assert "neighbours were found anew, since spots were dropped" in notes


def test_neighbours_in_another_order_are_found_anew(visium):
    own = visium.arrays["neighbors"]
    visium.arrays["neighbors"] = own[:, ::-1]
    sample = visium.read()
    np.testing.assert_array_equal(sample.adata.obsm["neighbors"][:, 0], np.arange(36))
    assert any("neighbours were found anew" in note for note in sample.manifest["notes"])


def test_without_patches_the_barcodes_tell_and_a_student_is_told_why(original):
    del original.arrays["features_subtile"]
    sample = original.read()
    np.testing.assert_allclose(sample.adata.obsm["spatial"], original.center_xy)
    assert any("no patch features" in note for note in sample.manifest["notes"])
    with pytest.raises(
        SampleError, match="has no patch features: the folder that it was imported from had none"
    ):
        _ = sample.patch_features


def test_a_level_without_patches_has_no_scale(visium):
    del visium.arrays["features_subtile"]
    visium.arrays["features"][:, 0] = 2
    with pytest.raises(SampleError, match=r"was made at level 2; without features_subtile\.npy nothing says"):
        visium.read()


def test_barcodes_that_tell_nothing_need_a_word(visium):
    del visium.arrays["features_subtile"]
    for key in ("barcodes", "raw_reads/barcodes"):
        visium.arrays[key] = np.array([f"spot {i}" for i in range(36)])[:: -1 if "raw" in key else 1]
    with pytest.raises(SampleError, match=r"neither patches nor barcodes \(like 'spot 0'\) tell the flavour"):
        visium.read()
    assert len(visium.read(flavour="visium").adata) == 36


def test_the_wrong_flavour_is_refused(original):
    other = {"visium": "her2st", "her2st": "visium"}[original.flavour]
    with pytest.raises(
        SampleError, match=f"is of the {original.flavour} flavour by its patches, not {other}"
    ):
        original.read(flavour=other)


def test_spots_without_a_lattice_need_the_resolution(visium):
    shift = np.random.default_rng(1).random((36, 2)) * 3000
    visium.arrays["features"][:, 1:3] += shift
    visium.arrays["features_subtile"][:, :, 1:3] += shift[:, None]
    with pytest.raises(SlideError, match=r"nothing says how many µm a pixel .* pass --slide-mpp"):
        visium.read()
    assert visium.read(slide_mpp=0.4).mpp == 0.4


def test_a_resolution_that_the_lattice_contradicts_is_told(visium):
    assert any("disagree by a factor 2" in note for note in visium.read(slide_mpp=1.0).manifest["notes"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("features", lambda a: a[:-1], "barcodes.npy has 36 spots, features.npy has 35"),
        ("features", lambda a: a[:, :3], "has 3 columns; expected level, two positions and features"),
        ("features", lambda a: np.where(a == a[3, 5], np.nan, a), "missing or infinite features"),
        ("features", lambda a: np.where(a == a[3, 1], np.nan, a), "is no pixel position"),
        ("features_subtile", lambda a: a[:, :15], "has 15 patches a tile; 56 px each, they do not make"),
        ("features_subtile", lambda a: a[::-1], "patches of the spot .* lie .* px off"),
        ("features_subtile", lambda a: a * 1e6, "neighbouring patches lie|patches apart"),
        ("features_subtile", lambda a: np.where(a == a[5, 5, 4], 1e6, a), "keeps patch features in 16 bits"),
        ("neighbors", lambda a: a + 36, "holds what is no index of one of 36 spots"),
        ("neighbors", lambda a: a * 1.5, "holds what is no index"),
        ("barcodes", lambda a: np.repeat(a[:1], 36), "names the spot .* twice"),
        ("raw_reads/reads", lambda a: a - 100, "holds negative, missing or impossible counts"),
        ("raw_reads/reads", lambda a: a[:, :2], r"is 36 × 2, but there are 36 barcodes and 4 genes"),
        (
            "raw_reads/barcodes",
            lambda a: np.array([f"n{i}" for i in range(36)]),
            "no spot of features.npy has reads",
        ),
        (
            "raw_reads/gene_names",
            lambda a: np.array([1, 2, 3, 4], dtype=object),
            "a pickle of something other",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named(visium, name, change, message):
    visium.arrays[name] = change(visium.arrays[name])
    with pytest.raises(MisoError, match=message) as caught:
        visium.read()
    assert "\n" not in str(caught.value)
    assert not (visium.at.parent / ".S1.partial").exists()


@pytest.mark.parametrize(
    "name", ["barcodes", "raw_reads/reads", "raw_reads/gene_names", "raw_reads/barcodes"]
)
def test_a_missing_file_is_named(original, name):
    original.write()
    (original.at / f"{name}.npy").unlink()
    with pytest.raises(SampleError, match=f"has no {name}.npy; the original MISO keeps one"):
        import_original(original.at, original.at.parent / "S1", encoder="x", patch_px=PATCH)


def test_flipped_bits_and_cuts_give_one_line_or_a_sample(original, spoil, refusal):
    files = sorted(original.write().rglob("*.npy"))
    for trial in range(60):
        path = files[trial % len(files)]
        whole = path.read_bytes()
        path.write_bytes(spoil(whole, trial))
        out = original.at.parent / f"S{trial}"
        assert "\n" not in refusal(partial(import_original, original.at, out, encoder="x", patch_px=PATCH))
        path.write_bytes(whole)


def test_the_table_can_be_opened_by_others(visium):
    sample = visium.read()
    adata = anndata.read_h5ad(sample.path / "adata.h5ad")
    assert adata.uns["miso"]["settings"]["imported_from"] == "original MISO (visium)"

"""Count matrices of every version: the same counts whatever the file, in bounded memory, and damage named."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from miso.errors import SampleError
from miso.samples.vendors.space_ranger.counts import open_counts, read_counts


def read(path, kept=None, duplicates="sum"):
    """Read the counts of all barcodes, or of some."""
    with open_counts(path) as matrix:
        wanted = np.ones(len(matrix.barcodes), dtype=bool) if kept is None else np.asarray(kept)
        return read_counts(matrix, wanted, duplicates)


def version_2(run):
    """Write counts as version 2: a group named after the genome."""
    path = run.write_h5()
    with h5py.File(path, "r+") as file:
        file.move("matrix", "GRCh38")
        group = file["GRCh38"]
        group["genes"], group["gene_names"] = group["features/id"][:], group["features/name"][:]
        del group["features"]
    return path


def strings_of_varying_length(run):
    """Write counts as tools outside Space Ranger do."""
    path = run.write_h5()
    with h5py.File(path, "r+") as file:
        for name in ("barcodes", "features/id", "features/name"):
            values = file[f"matrix/{name}"][:].astype(object)
            del file[f"matrix/{name}"]
            file["matrix"].create_dataset(name, data=values, dtype=h5py.string_dtype())
    return path


def packed_h5(run):
    """Write counts as version 3, packed as repositories do."""
    path = run.write_h5()
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def shuffled_mtx(run):
    """Write counts as text whose lines are in no order."""
    folder = run.write_mtx(packed=False)
    lines = (folder / "matrix.mtx").read_text().splitlines()
    order = np.random.default_rng(0).permutation(len(lines) - 3) + 3
    (folder / "matrix.mtx").write_text("\n".join(lines[:3] + [lines[at] for at in order]) + "\n")
    return folder


WRITERS = {
    "h5": lambda run: run.write_h5(),
    "h5 of version 2": version_2,
    "h5 with strings of varying length": strings_of_varying_length,
    "h5, packed": packed_h5,
    "mtx": lambda run: run.write_mtx(packed=False),
    "mtx, packed": lambda run: run.write_mtx(),
    "mtx with genes.tsv": lambda run: run.write_mtx(genes=True),
    "mtx in no order": shuffled_mtx,
    "mtx with a prefix": lambda run: run.write_mtx("flat", prefix="GSM1_S1_") / "GSM1_S1_matrix.mtx.gz",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_form_gives_the_same_counts(run, writer):
    path = WRITERS[writer](run)
    found = read(path)
    np.testing.assert_array_equal(found.counts.toarray(), run.counts.T)
    assert isinstance(found.counts, csr_matrix)
    assert found.counts.dtype == np.float32
    assert (found.genes, found.gene_ids) == (["A", "B", "C"], ["ENSG01", "ENSG02", "ENSG03"])
    assert found.proteins is None
    assert found.notes == []
    with open_counts(path) as matrix:
        assert matrix.barcodes.to_pylist() == run.barcodes


@pytest.mark.parametrize("writer", ["h5", "mtx", "mtx in no order"])
def test_of_some_barcodes_only_their_counts_are_read(run, writer):
    kept = np.random.default_rng(1).random(44) < 0.4
    found = read(WRITERS[writer](run), kept)
    np.testing.assert_array_equal(found.counts.toarray(), run.counts.T[kept])


@pytest.mark.parametrize("form", ["h5", "mtx"])
def test_more_counts_than_are_read_at_a_time_are_read_whole(run, form, monkeypatch):
    monkeypatch.setattr(f"miso.samples.vendors.space_ranger.counts_{form}.AT_ONCE", 7)
    kept = np.arange(44) % 3 > 0
    found = read(WRITERS[form](run), kept)
    np.testing.assert_array_equal(found.counts.toarray(), run.counts.T[kept])


def test_the_version_is_read_where_it_is_said(run):
    for path, version in ((run.write_h5(), "2.1.0"), (run.write_mtx(), "1.3.1"), (version_2(run), "2.1.0")):
        with open_counts(path) as matrix:
            assert matrix.version == version


def test_a_version_of_another_program_is_no_version(run):
    run.software = "noversion"
    with open_counts(run.write_h5()) as matrix:
        assert matrix.version == ""


@pytest.mark.parametrize("form", ["h5", "mtx"])
def test_genes_of_one_symbol_are_summed_and_that_is_noted(run, form):
    run.features["name"] = ["A", "B", "A"]
    run.counts[2] = 5
    found = read(WRITERS[form](run))
    np.testing.assert_array_equal(
        found.counts.toarray(), np.stack([run.counts[0] + 5, run.counts[1]], axis=1)
    )
    assert (found.genes, found.gene_ids) == (["A", "B"], ["ENSG01;ENSG03", "ENSG02"])
    assert found.notes == ["symbols of several genes: 1; the counts of each were summed (3 genes make 2)"]
    assert found.counts.has_canonical_format


def test_genes_of_one_symbol_are_named_apart_on_request(run):
    run.features["name"] = ["A", "B", "A"]
    found = read(run.write_h5(), duplicates="unique")
    np.testing.assert_array_equal(found.counts.toarray(), run.counts.T)
    assert (found.genes, found.gene_ids) == (["A", "B", "A-1"], ["ENSG01", "ENSG02", "ENSG03"])
    assert found.notes == ["symbols of several genes: 1; the genes of each are numbered (-1, -2, …)"]


def test_names_that_are_numbered_already_stay_apart(run):
    run.features["name"] = ["A", "A-1", "A"]
    found = read(run.write_h5(), duplicates="unique")
    assert len(set(found.genes)) == 3
    assert found.genes[:2] == ["A", "A-1"]


def test_a_gene_without_a_symbol_is_called_by_its_id(run):
    run.features["name"] = ["A", "", ""]
    assert read(run.write_h5()).genes == ["A", "ENSG02", "ENSG03"]


def test_genes_of_several_genomes_are_kept_apart(run):
    run.features["genome"], run.features["name"] = ["GRCh38", "mm10", "mm10"], ["A", "A", "C"]
    found = read(run.write_h5())
    assert found.genes == ["A", "A-1", "C"]
    assert found.notes == ["genes of 2 genomes are kept: GRCh38, mm10"]


def test_deprecated_genes_are_left_out_and_counted(run):
    run.features.loc[1, "id"] = "DEPRECATED_ENSG02"
    found = read(run.write_h5())
    assert found.genes == ["A", "C"]
    assert found.notes == ["1 of 3 genes that Space Ranger marks as deprecated were left out"]


def test_antibodies_get_a_table_and_other_features_a_note(run):
    run.features["feature_type"] = ["Gene Expression", "Antibody Capture", "Multiplexing Capture"]
    found = read(run.write_h5(), np.arange(44) < 5)
    assert found.genes == ["A"]
    assert found.counts.shape == (5, 1)
    assert list(found.proteins.columns) == ["B"]
    assert list(found.proteins.index) == run.barcodes[:5]
    np.testing.assert_array_equal(found.proteins["B"], run.counts[1, :5])
    assert found.notes == ["1 features of the type 'Multiplexing Capture' were left out"]


def test_a_matrix_of_antibodies_alone_is_refused(run):
    run.features["feature_type"] = "Antibody Capture"
    with pytest.raises(SampleError, match=r"counts no genes .*, only Antibody Capture"):
        read(run.write_h5())


def probes(run, **more):
    """Make the three rows probes: two of gene A, one of gene B."""
    run.features = pd.DataFrame(
        {
            "id": ["ENSG01|A|1a", "ENSG01|A|2b", "ENSG02|B|3c"],
            "name": ["A|1a", "A|2b", "B|3c"],
            "gene_id": ["ENSG01", "ENSG01", "ENSG02"],
            "gene_name": ["A", "A", "B"],
            "feature_type": "Gene Expression",
        }
    )
    return run.write_h5("raw_probe_bc_matrix.h5", **more)


@pytest.mark.parametrize("duplicates", ["sum", "unique"])
def test_probes_are_summed_to_their_gene(run, duplicates):
    found = read(probes(run), duplicates=duplicates)
    summed = np.stack([run.counts[0] + run.counts[1], run.counts[2]], axis=1)
    np.testing.assert_array_equal(found.counts.toarray(), summed)
    assert (found.genes, found.gene_ids) == (["A", "B"], ["ENSG01", "ENSG02"])
    assert "3 probes were summed to 2 genes" in found.notes


def test_probes_that_space_ranger_filters_are_not_counted(run):
    found = read(probes(run, filtered_probes=np.array([True, False, True])))
    np.testing.assert_array_equal(found.counts[:, 0].toarray().ravel(), run.counts[0])
    assert found.notes[0] == "1 of 3 probes outside Space Ranger's filtered probe set were left out"


def test_of_a_raw_matrix_only_genes_of_the_probe_set_are_kept(run):
    path = run.write_h5("raw_feature_bc_matrix.h5")
    with h5py.File(path, "r+") as file:
        file["matrix/features/target_sets/Probe Set v1"] = np.array([0, 2], dtype=np.uint32)
    assert read(path).genes == ["A", "C"]
    path.rename(path.with_name("filtered_feature_bc_matrix.h5"))
    assert read(path.with_name("filtered_feature_bc_matrix.h5")).genes == ["A", "B", "C"]


def test_counts_that_are_not_whole_are_noted(run):
    run.counts = run.counts + 0.5
    path = run.write_h5()
    with h5py.File(path, "r+") as file:
        del file["matrix/data"]
        file["matrix/data"] = np.full(run.counts.size, 1.5)
    assert "not whole numbers" in read(path).notes[0]


BREAKS = {
    "indices": (lambda values: values + 100, "counts something beyond its 3 features"),
    "indptr": (lambda values: values[::-1].copy(), "its index does not fit"),
    "shape": (lambda values: np.array([3, 10**12]), "its shape is 3 × 1,000,000,000,000"),
    "data": (lambda values: -values, "negative, missing or impossible counts"),
    "barcodes": (lambda values: np.repeat(values[:1], len(values)), "names the barcode .* twice"),
    "features/id": (lambda values: values[:2], "its features have 2 ids but 3 names"),
    "features/name": (lambda values: np.array([b"A", b"\xff\xfe", b"C"]), "truncated or damaged"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_part_is_named(run, name):
    path, (change, why) = run.write_h5(), BREAKS[name]
    with h5py.File(path, "r+") as file:
        values = file[f"matrix/{name}"][:]
        del file[f"matrix/{name}"]
        file[f"matrix/{name}"] = change(values)
    with pytest.raises(SampleError, match=why):
        read(path)


@pytest.mark.parametrize("name", ["barcodes", "data", "indices", "indptr", "features/id"])
def test_a_missing_part_is_named(run, name):
    path = run.write_h5()
    with h5py.File(path, "r+") as file:
        del file[f"matrix/{name}"]
    with pytest.raises(SampleError, match=f"has no /matrix/{name} "):
        read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_counts_that_are_no_counts_are_refused(run, value):
    path = run.write_h5()
    with h5py.File(path, "r+") as file:
        values = file["matrix/data"][:].astype(np.float64)
        values[3] = value
        del file["matrix/data"]
        file["matrix/data"] = values
    with pytest.raises(SampleError, match="negative, missing or impossible counts"):
        read(path)


def test_more_barcodes_than_a_file_can_hold_are_refused_before_they_are_read(run):
    path = run.write_h5()
    with h5py.File(path, "r+") as file:
        del file["matrix/barcodes"]
        file["matrix"].create_dataset("barcodes", shape=(10**12,), dtype="S18", chunks=(100,))
    with pytest.raises(SampleError, match="claims 1,000,000,000,000 barcodes, which a file of"):
        read(path)


def test_another_hdf5_file_is_no_count_matrix(tmp_path):
    with h5py.File(tmp_path / "filtered_feature_bc_matrix.h5", "w") as file:
        file["X/data"] = [1, 2]
    with pytest.raises(SampleError, match=r"expected a group 'matrix', found none \(in the file: X\)"):
        read(tmp_path / "filtered_feature_bc_matrix.h5")


def test_garbled_names_do_not_break_the_line(run):
    path = run.write_h5()
    with h5py.File(path, "r+") as file:
        file.move("matrix/barcodes", "matrix/bar\ncodes\x07")
    with pytest.raises(SampleError, match=r"\(found: bar\?codes\?, data, features") as told:
        read(path)
    assert "\n" not in str(told.value)


def test_counts_for_each_of_several_genomes_are_refused(run):
    path = version_2(run)
    with h5py.File(path, "r+") as file:
        file.copy("GRCh38", "mm10")
    with pytest.raises(SampleError, match="one for each of GRCh38, mm10"):
        read(path)


@pytest.mark.parametrize(
    ("part", "change", "why"),
    [
        (
            "matrix.mtx",
            lambda text: text.replace("%%Matrix", "%%Tensor"),
            "its first line is not that of a .mtx",
        ),
        ("matrix.mtx", lambda text: text.replace("3 44 ", "3 1000000000000 "), "is no shape of a matrix"),
        ("matrix.mtx", lambda text: text.replace("3 44 66", "3 44 1000000000000"), "cannot hold"),
        (
            "matrix.mtx",
            lambda text: text.replace("3 44 66", "3 44 67"),
            "announces 67 counts but holds fewer",
        ),
        ("matrix.mtx", lambda text: text.replace("3 44 66", "3 44 65"), "announces 65 counts but holds more"),
        ("matrix.mtx", lambda text: text.replace("3 44 66", "44 3 66"), "it is transposed"),
        ("matrix.mtx", lambda text: text + "1 2 3\n", "announces 66 counts but holds more"),
        ("matrix.mtx", lambda text: text.replace("\n1 1 1\n", "\n1 1 1 1\n"), "other than three numbers"),
        ("matrix.mtx", lambda text: text.replace("\n1 1 1\n", "\n1 1\n"), "negative, missing or impossible"),
        ("matrix.mtx", lambda text: text.replace("\n1 1 1\n", "\n4 1 1\n"), "beyond its 3 features"),
        ("matrix.mtx", lambda text: text.replace("\n1 1 1\n", "\n1 0 1\n"), "beyond its 44 barcodes"),
        ("matrix.mtx", lambda text: text.replace("\n1 1 1\n", "\n1 x 1\n"), "truncated or damaged"),
        (
            "matrix.mtx",
            lambda text: text.replace("\n1 1 1\n", "\n1 1 -1\n"),
            "negative, missing or impossible",
        ),
        ("features.tsv", lambda text: text + "ENSG04\n", "its rows have 1 to 3 columns"),
        ("features.tsv", lambda text: "", "its rows have 0 to 0 columns"),
        ("barcodes.tsv", lambda text: text[19:], r"'features.tsv' names 3 and 'barcodes.tsv' 43"),
        ("barcodes.tsv", lambda text: text[:19] * 44, "names the barcode .* twice"),
    ],
)
def test_broken_text_is_named(run, part, change, why):
    path = run.write_mtx(packed=False) / part
    path.write_text(change(path.read_text()))
    with pytest.raises(SampleError, match=why):
        read(path.parent)


@pytest.mark.parametrize("part", ["matrix.mtx", "features.tsv", "barcodes.tsv"])
def test_an_absent_text_is_named(run, part):
    folder = run.write_mtx()
    (folder / f"{part}.gz").unlink()
    with pytest.raises(SampleError, match=rf"has no {part}\[.gz\]"):
        read(folder)


def test_strings_that_lead_nowhere_do_not_hang(run):
    path = strings_of_varying_length(run)
    content = bytearray(path.read_bytes())
    start = content.index(b"GCOL") + 16
    content[start : start + 16] = bytes(16)
    path.write_bytes(content)
    with pytest.raises(SampleError, match=r"its strings at byte .* are garbled"):
        read(path)


@pytest.mark.parametrize("length", [200, 2**31 - 1])
def test_strings_of_garbled_length_are_refused_by_whatever_becomes_of_them(run, length):
    path = strings_of_varying_length(run)
    with h5py.File(path) as file:
        start = file["matrix/barcodes"].id.get_offset()
    content = bytearray(path.read_bytes())
    for at in range(start, start + 16 * 44, 16):
        content[at : at + 4] = length.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(SampleError, match=r"truncated or damaged|strings cannot be read|no barcode|fewer"):
        read(path)


def test_strings_of_varying_length_that_are_no_text_are_refused(run):
    path = strings_of_varying_length(run)
    path.write_bytes(path.read_bytes().replace(b"ENSG02", b"EN\xffG02"))
    with pytest.raises(SampleError, match=r"truncated or damaged .*codec can't decode"):
        read(path)


def test_strings_that_claim_not_to_be_compressed_are_refused(run):
    path = strings_of_varying_length(run)
    with h5py.File(path, "r+") as file:
        values = file["matrix/barcodes"][:]
        del file["matrix/barcodes"]
        kind = {"dtype": h5py.string_dtype(), "chunks": (22,), "compression": "gzip"}
        file["matrix"].create_dataset("barcodes", data=values, **kind)
    with h5py.File(path, "r+") as file:
        file["matrix/barcodes"].id.write_direct_chunk((22,), bytes(22 * 16), filter_mask=1)
    with pytest.raises(SampleError, match="its /matrix/barcodes are garbled"):
        read(path)


@pytest.mark.parametrize("writer", ["h5", "h5, packed", "mtx", "mtx, packed"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_counts_are_refused_in_one_line_or_are_counts(run, writer, data):
    path = WRITERS[writer](run)
    part = path if path.is_file() else data.draw(st.sampled_from(sorted(path.iterdir())))
    content = part.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    stretch = data.draw(st.one_of(st.none(), st.binary(min_size=1, max_size=30)))
    part.write_bytes(
        content[:at] if stretch is None else content[:at] + stretch + content[at + len(stretch) :]
    )
    told = ""
    try:
        found = read(path)
    except SampleError as err:
        told = str(err)
    if told:
        assert "\n" not in told
        return
    assert np.isfinite(found.counts.data).all()
    assert (found.counts.data >= 0).all()
    assert found.counts.shape[1] == len(found.genes) == len(set(found.genes)) == len(found.gene_ids)


HELPERS = str(Path(__file__).parents[3] / "benchmarks")
READ_LARGE = """
import sys, numpy as np
from memory import peak_mib
from pathlib import Path
from miso.samples.vendors.space_ranger.counts import open_counts, read_counts
with open_counts(Path(sys.argv[1])) as matrix:
    before = peak_mib()
    counts = read_counts(matrix, np.ones(len(matrix.barcodes), dtype=bool), "sum").counts
print(counts.nnz, int((peak_mib() - before) * 2**20))
"""


@pytest.mark.slow
def test_memory_is_that_of_the_counts_and_little_more(tmp_path):
    n_spots, n_genes, per_spot = 100_000, 18_000, 200
    path, rng = tmp_path / "filtered_feature_bc_matrix.h5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(
            [f"s_008um_{at // 1000:05d}_{at % 1000:05d}-1" for at in range(n_spots)], "S"
        )
        group["data"] = np.ones(n_spots * per_spot, dtype=np.int32)
        spaced = np.arange(per_spot) * (n_genes // per_spot) + rng.integers(0, 90, (n_spots, 1))
        group["indices"] = spaced.ravel().astype(np.int64)
        group["indptr"] = np.arange(n_spots + 1) * per_spot
        group["shape"] = [n_genes, n_spots]
        group["features/id"] = group["features/name"] = np.array([f"G{at:05d}" for at in range(n_genes)], "S")
    words = [sys.executable, "-c", READ_LARGE, str(path)]
    beside = os.environ | {"PYTHONPATH": HELPERS}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=beside)
    n_counts, n_bytes = map(int, done.stdout.split())
    assert n_counts == n_spots * per_spot
    assert n_bytes < 8 * n_counts * 1.3 + 300 * 2**20


@pytest.mark.data
def test_the_probes_of_a_real_run_are_summed_to_genes(real_data):
    path = real_data / "visium" / "layout_scanpy" / "2.1.0" / "raw_probe_bc_matrix.h5"
    with h5py.File(path) as file:
        passed = file["matrix/features/filtered_probes"][:]
        values, rows = file["matrix/data"][:], file["matrix/indices"][:]
        names = file["matrix/features/gene_name"].asstr()[:]
    found = read(path)
    assert found.counts.shape == (4987, len(set(names[passed])))
    assert found.counts.sum() == values[passed[rows]].sum() == 2838
    gene = names[passed][5]
    of_gene = passed[rows] & (names[rows] == gene)
    assert found.counts[:, found.genes.index(gene)].sum() == values[of_gene].sum()
    assert not any(name.startswith("DEPRECATED") for name in found.genes)
    assert "outside Space Ranger's filtered probe set" in " ".join(found.notes)

"""Packed tables, matrices and HDF5 files of counts that unpack a thousand to one: unpacking stops."""

import gzip
import json

import h5py
import numpy as np
import pytest

from miso.errors import SampleError
from miso.samples.vendors.files.damage import ALWAYS_UNPACKED, open_text, read_json
from miso.samples.vendors.files.hdf5 import open_hdf5
from miso.samples.vendors.space_ranger.counts_mtx import open_mtx
from miso.samples.vendors.space_ranger.positions import read_positions
from miso.samples.vendors.st.tables import read_table

MIB = 2**20


def bomb(path, begin: bytes = b"", fill: bytes = b"0", mib: int = 400):
    """A gzip file of a few hundred kB that unpacks to many MiB."""
    block = gzip.compress(fill * (MIB // len(fill)), 9)
    path.write_bytes(gzip.compress(begin) + block * mib)  # members of one file follow each other
    return path


@pytest.mark.parametrize(
    ("module", "function", "begin", "fill"),
    [
        ("samples.vendors.st.tables", "read_table", b"", b"0"),
        ("samples.vendors.files.damage", "read_json", b'{"a": "', b" "),
        ("samples.vendors.space_ranger.positions", "read_positions", b"", b"0"),
        ("samples.vendors.files.hdf5", "open_all", b"\x89HDF\r\n\x1a\n", b"0"),
    ],
)
def test_hundreds_of_megabytes_in_a_small_file_are_refused_in_bounded_memory(
    module, function, begin, fill, tmp_path, attack
):
    path = bomb(tmp_path / "bomb.gz", begin, fill)
    start = f"""
    from pathlib import Path
    import miso.{module} as module
    def open_all(path):
        with module.open_hdf5(path):
            pass
    """
    call = ("" if function == "open_all" else "module.") + f"{function}(Path({str(path)!r}))"
    said = attack(start, call, mib=900)
    assert said.startswith("refused:")
    assert "unpacks to more than" in said or "has more than the" in said or "cannot hold" in said


def test_unpacked_size_that_a_trailer_belittles_is_not_believed(tmp_path, attack):
    path = bomb(tmp_path / "filtered_feature_bc_matrix.h5")
    content = path.read_bytes()
    path.write_bytes(content[:-4] + (100).to_bytes(4, "little"))  # what it says of its own size
    start = """
    from pathlib import Path
    from miso.samples.vendors.files.hdf5 import open_hdf5
    """
    said = attack(start, f"open_hdf5(Path({str(path)!r})).__enter__()", mib=600)
    assert "unpacks to more than" in said


def test_matrix_of_one_endless_line_is_refused(tmp_path, attack):
    bomb(tmp_path / "matrix.mtx.gz", b"%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 1")
    (tmp_path / "features.tsv").write_text("ENSG01\tA\tGene Expression\n")
    (tmp_path / "barcodes.tsv").write_text("AAAC-1\n")
    start = """
    from pathlib import Path
    import numpy as np
    from miso.samples.vendors.space_ranger.counts_mtx import open_mtx
    """
    call = f"list(open_mtx(Path({str(tmp_path)!r}))._entries(np.ones(1, bool)))"
    assert "unpacks to more than" in attack(start, call, mib=900)


def test_matrix_that_announces_more_counts_than_its_bytes_hold_is_refused(tmp_path):
    for name, text in {
        "matrix.mtx": "%%MatrixMarket matrix coordinate integer general\n1 1 99999999999\n1 1 1\n",
        "features.tsv": "ENSG01\tA\tGene Expression\n",
        "barcodes.tsv": "AAAC-1\n",
    }.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SampleError, match="cannot hold"):
        open_mtx(tmp_path)


def test_dataset_of_a_terabyte_that_was_never_written_is_refused(tmp_path):
    path = tmp_path / "counts.h5"
    with h5py.File(path, "w") as file:
        file.create_group("matrix").create_dataset("data", shape=(10**11,), dtype="i8", chunks=(10**6,))
    from miso.samples.vendors.files.hdf5_datasets import Datasets

    with open_hdf5(path) as file, pytest.raises(SampleError, match="cannot hold"):
        Datasets(path, file["matrix"]).integers("data")


def test_tables_that_pack_as_tables_do_are_read(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.05, (300, 2000))
    lines = ["\t" + "\t".join(f"G{i}" for i in range(2000))]
    lines += [f"{i}x{i}\t" + "\t".join(map(str, row)) for i, row in enumerate(counts)]
    with gzip.open(tmp_path / "A1.tsv.gz", "wt") as file:
        file.write("\n".join(lines))
    found = read_table(tmp_path / "A1.tsv.gz", index_col=0)
    assert (found.to_numpy() == counts).all()
    with gzip.open(tmp_path / "said.json.gz", "wt") as file:
        json.dump({"tissue_hires_scalef": 0.1}, file)
    assert read_json(tmp_path / "said.json.gz") == {"tissue_hires_scalef": 0.1}


def test_text_of_zeros_within_the_limit_is_read_to_its_end(tmp_path):
    path = bomb(tmp_path / "zeros.gz", mib=ALWAYS_UNPACKED // MIB)
    with open_text(path) as file:
        assert len(file.read()) == ALWAYS_UNPACKED
    more = bomb(tmp_path / "more.gz", b"0", mib=ALWAYS_UNPACKED // MIB)
    with open_text(more) as file, pytest.raises(OSError, match="unpacks to more than"):
        file.read()


def test_positions_of_an_endless_line_are_refused(tmp_path):
    path = bomb(tmp_path / "tissue_positions.csv")
    with pytest.raises(SampleError, match="unpacks to more than"):
        read_positions(path)

"""A script, run apart by `hdf5_strings`: prints datasets of strings as JSON, a list of strings for each."""

import gzip
import io
import json
import sys
from pathlib import Path

import h5py


def main(path: Path, names: list[str]) -> None:
    """Print the named datasets of a file, which may be compressed with gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    content = io.BytesIO(gzip.decompress(path.read_bytes())) if packed else path
    with h5py.File(content, "r") as opened:
        json.dump([[value.decode() for value in opened[name][:]] for name in names], sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

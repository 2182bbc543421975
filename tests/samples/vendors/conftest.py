"""A Space Ranger run made by hand, in any layout: change its tables, then write what a test needs."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse import csc_matrix

COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
FULL_PX = (3000, 2500)
"""(width, height) of the image that the spots were placed on; 0.5 µm/px."""


@dataclass
class Run:
    """Visium: 48 spots of an 8 × 6 hexagonal array, all but the last four in tissue; HD: 12 × 9 bins of 8 µm.

    Spot i counts i + 1 molecules of gene 0, one of gene 1 if i is odd, and none of gene 2.
    """

    folder: Path
    bin_um: float | None = None
    software: str = "spaceranger-2.1.0"
    positions: pd.DataFrame = field(init=False)
    features: pd.DataFrame = field(init=False)
    barcodes: list[str] = field(init=False)
    counts: np.ndarray = field(init=False)  # feature × barcode
    factors: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        self.positions = hexagonal() if self.bin_um is None else square(self.bin_um)
        self.features = pd.DataFrame(
            {
                "id": ["ENSG01", "ENSG02", "ENSG03"],
                "name": ["A", "B", "C"],
                "feature_type": "Gene Expression",
                "genome": "GRCh38",
            }
        )
        self.barcodes = list(self.positions["barcode"][self.positions["in_tissue"] == 1])
        number = np.arange(len(self.barcodes))
        self.counts = np.stack([number + 1, number % 2, 0 * number])
        self.factors = {
            "tissue_hires_scalef": 2000 / 3000,
            "tissue_lowres_scalef": 600 / 3000,
            "spot_diameter_fullres": 130.0,
            "fiducial_diameter_fullres": 200.0,
        }
        if self.bin_um is not None:
            self.factors |= {"bin_size_um": self.bin_um, "microns_per_pixel": 0.5}

    @property
    def spatial(self) -> Path:
        """Where positions go."""
        return self.folder / "spatial"

    def write_spatial(self, name: str = "tissue_positions.csv", *, header: bool = True) -> Path:
        """Write positions, scale factors and two pictures."""
        self.spatial.mkdir(parents=True, exist_ok=True)
        path = self.spatial / name
        if name.endswith(".parquet"):
            self.positions.to_parquet(path)
        else:
            self.positions.to_csv(path, index=False, header=header)
        self.write_factors()
        for shown, side in (("hires", 2000), ("lowres", 600)):
            size = (side, round(side * FULL_PX[1] / FULL_PX[0]))
            Image.new("L", size, 255).save(self.spatial / f"tissue_{shown}_image.png")
        return path

    def write_factors(self) -> Path:
        """Write the scale factors."""
        path = self.spatial / "scalefactors_json.json"
        path.write_text(json.dumps(self.factors))
        return path

    def write_h5(self, name: str = "filtered_feature_bc_matrix.h5", **more: np.ndarray) -> Path:
        """Write counts as version 3; `more` columns of the features go beside them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sparse = csc_matrix(self.counts)
        with h5py.File(self.folder / name, "w") as file:
            file.attrs["software_version"] = self.software
            group = file.create_group("matrix")
            group["barcodes"] = np.array(self.barcodes, dtype="S")
            group["data"] = sparse.data.astype(np.int32)
            group["indices"] = sparse.indices.astype(np.int64)
            group["indptr"] = sparse.indptr.astype(np.int64)
            group["shape"] = np.array(sparse.shape, dtype=np.int32)
            for column in self.features:
                group[f"features/{column}"] = self.features[column].to_numpy().astype("S")
            for column, values in more.items():
                group[f"features/{column}"] = values
        return self.folder / name

    def write_mtx(
        self,
        name: str = "filtered_feature_bc_matrix",
        *,
        prefix: str = "",
        packed: bool = True,
        genes: bool = False,
    ) -> Path:
        """Write counts as text; `genes` writes `genes.tsv` of version 2."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        rows, columns = np.nonzero(self.counts)
        head = [
            "%%MatrixMarket matrix coordinate integer general",
            '%metadata_json: {"software_version": "spaceranger-1.3.1", "format_version": 2}',
            f"{self.counts.shape[0]} {self.counts.shape[1]} {len(rows)}",
        ]
        body = [f"{r + 1} {c + 1} {self.counts[r, c]}" for r, c in zip(rows, columns, strict=True)]
        kept = self.features[["id", "name"] if genes else ["id", "name", "feature_type"]]
        for part, text in (
            ("matrix.mtx", "\n".join([*head, *body]) + "\n"),
            ("genes.tsv" if genes else "features.tsv", kept.to_csv(sep="\t", header=False, index=False)),
            ("barcodes.tsv", "\n".join(self.barcodes) + "\n"),
        ):
            if packed:
                (folder / f"{prefix}{part}.gz").write_bytes(gzip.compress(text.encode()))
            else:
                (folder / f"{prefix}{part}").write_text(text)
        return folder


def barcode(number: int) -> str:
    """Spell a number with bases, as Visium does."""
    return "".join("ACGT"[number // 4**place % 4] for place in range(8)) + "-1"


def hexagonal() -> pd.DataFrame:
    """Return 8 × 6 spots at 100 µm, 0.5 µm/px."""
    row, turn = (axis.ravel() for axis in np.mgrid[:8, :6])
    col = 2 * turn + row % 2
    x, y = 200 + col * 100, 300 + row * np.sqrt(0.75) * 200
    names = [barcode(at) for at in range(48)]
    inside = (np.arange(48) < 44).astype(int)
    return pd.DataFrame(dict(zip(COLUMNS, (names, inside, row, col, y, x), strict=True)))


def square(bin_um: float) -> pd.DataFrame:
    """Return 12 × 9 bins at 0.5 µm/px, rows upwards as in real Visium HD folders."""
    row, col = (axis.ravel() for axis in np.mgrid[:12, :9])
    names = [f"s_{bin_um:03.0f}um_{r:05d}_{c:05d}-1" for r, c in zip(row, col, strict=True)]
    x, y = 50.5 + col * bin_um * 2, 400.25 - row * bin_um * 2
    inside = (row > 0).astype(np.int32)
    return pd.DataFrame(dict(zip(COLUMNS, (names, inside, row, col, y, x), strict=True)))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A Visium run in a folder `S1`; nothing is written yet."""
    return Run(tmp_path / "S1")


@pytest.fixture
def hd(tmp_path: Path) -> Run:
    """The 8 µm bins of a Visium HD run `S1`; nothing is written yet."""
    return Run(tmp_path / "S1" / "binned_outputs" / "square_008um", bin_um=8.0)

"""A prediction is plotted by scanpy and squidpy without edits, the spots over the picture of the slide."""

from pathlib import Path

import anndata
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from miso.maps.predicted import as_anndata
from miso.samples import Sample

SIZE_PX, MPP, SPOT_UM = (1600, 1200), 0.5, 55.0
SPOTS = np.array([[400.0, 300.0], [1200.0, 300.0], [400.0, 900.0], [1200.0, 900.0]])
GENES = pd.DataFrame({"r_cv": [0.6, np.nan], "grade": ["A", "untested"]}, index=["ERBB2", "KRT8"])


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Four spots on a green slide."""
    Image.new("RGB", SIZE_PX, (90, 200, 90)).save(tmp_path / "slide.png")
    manifest = {
        "name": "S1",
        "patient": "P",
        "resolution": {"mpp": MPP, "source": "test"},
        "spot_diameter_um": SPOT_UM,
        "slide": {"path": str(tmp_path / "slide.png"), "size_px": list(SIZE_PX)},
    }
    made = Sample(tmp_path, manifest)
    spots = anndata.AnnData(np.ones((4, 1), dtype=np.float32))
    spots.obsm["spatial"] = SPOTS
    made.__dict__["adata"] = spots
    return made


def predicted(sample: Sample, **options: bool) -> anndata.AnnData:
    values = np.array([[0, 1], [1, 1], [2, 0], [3, 1]], dtype=np.float32)
    return as_anndata(sample, values, GENES, {"units": "counts per spot"}, **options)


def test_the_picture_and_the_spots_are_in_one_frame(sample: Sample) -> None:
    record = predicted(sample).uns["spatial"]["S1"]
    scale, picture = record["scalefactors"]["tissue_hires_scalef"], record["images"]["hires"]
    assert record["scalefactors"]["spot_diameter_fullres"] == SPOT_UM / MPP
    np.testing.assert_allclose(np.array(SIZE_PX) * scale, picture.shape[1::-1], atol=1)
    assert picture.dtype == np.uint8
    assert tuple(picture[10, 10]) == (90, 200, 90)


def test_a_prediction_survives_the_file(sample: Sample, tmp_path: Path) -> None:
    for picture in (True, False):
        predicted(sample, picture=picture).write_h5ad(tmp_path / "p.h5ad")
        found = anndata.read_h5ad(tmp_path / "p.h5ad")
        assert found.uns["miso"]["units"] == "counts per spot"
        assert list(found.var["grade"]) == ["A", "untested"]
        record = found.uns["spatial"]["S1"]
        assert record["scalefactors"]["spot_diameter_fullres"] == SPOT_UM / MPP
        assert list(record["images"]) == ["hires"] * picture


def test_a_slide_that_is_gone_damaged_or_another_one_gives_no_picture(sample: Sample) -> None:
    path = Path(sample.manifest["slide"]["path"])
    Image.new("RGB", (800, 600)).save(path)
    assert predicted(sample).uns["spatial"]["S1"]["images"] == {}
    path.write_bytes(path.read_bytes()[:20])
    assert predicted(sample).uns["spatial"]["S1"]["images"] == {}
    path.unlink()
    assert predicted(sample).uns["spatial"]["S1"]["images"] == {}


plotting = pytest.mark.filterwarnings("ignore")  # whatever the real packages and their dependencies say


@pytest.fixture
def agg() -> None:
    mpl.use("agg")


def drawn_radius(axes: Axes) -> float:
    """Radius of the first spot in the axes' data units, however it was drawn."""
    for collection in axes.collections:
        if paths := collection.get_paths():
            transform = collection.get_transforms()
            size = paths[0].get_extents().width * (transform[0][0, 0] if len(transform) else 1.0)
            return float(size / 2)
    raise AssertionError("nothing drawn")


@plotting
@pytest.mark.usefixtures("agg")
@pytest.mark.parametrize("picture", [True, False])
def test_scanpy_plots_it_as_it_is(sample: Sample, picture: bool) -> None:
    scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed")
    options = {} if picture else {"img_key": None}
    axes = scanpy.pl.spatial(predicted(sample, picture=picture), color="ERBB2", show=False, **options)[0]
    assert len(axes.images) == picture
    scale = 1536 / 1600 if picture else 1.0
    assert drawn_radius(axes) == pytest.approx(SPOT_UM / MPP / 2 * scale, rel=0.01)
    plt.close("all")


@plotting
@pytest.mark.usefixtures("agg")
@pytest.mark.parametrize("picture", [True, False])
def test_squidpy_plots_it_as_it_is(sample: Sample, picture: bool) -> None:
    squidpy = pytest.importorskip("squidpy", reason="squidpy is not installed")
    options = {} if picture else {"img": False}
    axes = squidpy.pl.spatial_scatter(
        predicted(sample, picture=picture), color="ERBB2", return_ax=True, **options
    )
    assert len(axes.images) == picture
    scale = 1536 / 1600 if picture else 1.0
    assert drawn_radius(axes) == pytest.approx(SPOT_UM / MPP / 2 * scale, rel=0.01)
    plt.close("all")

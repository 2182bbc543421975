"""A prediction as AnnData that scanpy and squidpy plot as it is: spots, genes, grades, a small picture."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
from jaxtyping import Float
from numpy import float32
from numpy.typing import NDArray

from miso.errors import SlideError
from miso.launch.provenance import stamp
from miso.maps.thumbnail import Thumbnail
from miso.samples import Sample
from miso.slides import open_slide

log = logging.getLogger(__name__)


def as_anndata(
    sample: Sample,
    values: Float[NDArray[float32], "spot gene"],
    genes: pd.DataFrame,
    about: Mapping[str, Any],
    *,
    picture: bool = True,
) -> anndata.AnnData:
    """Put predictions on the spots of a Sample.

    Parameters
    ----------
    genes
        A row a gene, with what is known of its reliability: it becomes `var`.
    about
        What `uns["miso"]` says beside the sample's name.
    picture
        Whether `uns["spatial"]` gets a small picture of the slide, if that is still where it was.
    """
    adata = anndata.AnnData(X=values, obs=sample.adata.obs.copy(), var=genes)
    adata.obsm["spatial"] = sample.adata.obsm["spatial"]
    adata.uns["spatial"] = {sample.name: spatial_record(sample, picture=picture)}
    adata.uns["miso"] = {"sample": sample.name, **about, **stamp()}
    return adata


def spatial_record(sample: Sample, *, picture: bool = True) -> dict[str, Any]:
    """Describe a section as Space Ranger's readers do: `images`, `scalefactors` and `metadata`.

    `scalefactors` holds `spot_diameter_fullres` (level-0 pixels) and `tissue_hires_scalef` (picture pixels
    per level-0 pixel; 1 without a picture, since squidpy asks for it).
    """
    diameter_px = sample.spot_diameter_um / sample.mpp
    record: dict[str, Any] = {
        "images": {},
        "scalefactors": {"spot_diameter_fullres": diameter_px, "tissue_hires_scalef": 1.0},
        "metadata": {"mpp": sample.mpp},
    }
    if picture and (thumbnail := _thumbnail(sample)):
        record["images"]["hires"] = thumbnail.rgb
        record["scalefactors"]["tissue_hires_scalef"] = 1 / thumbnail.step_xy[0]
    return record


def _thumbnail(sample: Sample) -> Thumbnail | None:
    """Shrink the Sample's slide, where it is still at its place and of its size."""
    path = Path(sample.manifest["slide"]["path"])
    if not path.exists():
        return None
    try:
        with open_slide(path, sample.mpp) as slide:
            if list(slide.size_px) == list(sample.manifest["slide"].get("size_px", slide.size_px)):
                return Thumbnail.of(slide)
    except (SlideError, OSError) as err:
        log.warning("%s goes without a picture: %s", sample.name, err)
    return None

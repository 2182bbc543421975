"""Writing a Sample folder from its parts: what every Sample holds, whoever made its features."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray

from miso.errors import SampleError
from miso.launch.provenance import differences, stamp
from miso.samples.qc import count_qc
from miso.samples.sample import MANIFEST, SCHEMA, Sample, open_sample, read_manifest
from miso.samples.spots import Spots
from miso.storage import replace_folder


def is_already_there(out: Path, settings: Mapping[str, Any], *, name: str, patient: str) -> bool:
    """Whether the same Sample lies there already, under the same name and of the same patient.

    Raises
    ------
    SampleError
        If something else does.
    """
    found = read_manifest(out)
    if found is not None:
        held = {**found["settings"], "name": found["name"], "patient": found["patient"]}
        differing = differences(held, {**settings, "name": name, "patient": patient})
        if differing:
            raise SampleError(
                f"{out} was made with other settings: {'; '.join(differing)}. "
                "Remove that folder or choose another output"
            )
        return True
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SampleError(f"{out} is there and is no Sample; remove it or choose another output")
    return False


def make_manifest(spots: Spots, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `sample.json` says: `about` (name, patient, settings, resolution, slide …) and spots."""
    return {
        "schema": SCHEMA,
        **about,
        "spot_diameter_um": spots.diameter_um,
        "spot_shape": spots.shape,
        "pitch_um": spots.pitch_um,
        "notes": [*spots.notes, *about.get("notes", ())],
        **stamp(),
    }


def annotate(
    spots: Spots,
    features: Mapping[str, Float[NDArray[np.float32], "spot dim"]],
    neighbors: Int[NDArray[np.int64], "spot k"],
    manifest: Mapping[str, Any],
) -> anndata.AnnData:
    """Put everything per spot on one axis; `features` are tables of `obsm` by name (`tile_features`, …)."""
    obs = pd.DataFrame(
        {
            "array_x": spots.array_xy[:, 0],
            "array_y": spots.array_xy[:, 1],
        }
    )
    obs = pd.concat([obs, count_qc(spots.counts, spots.genes)], axis=1)
    obs.index = pd.Index(spots.barcodes, dtype=str)
    var = pd.DataFrame(index=pd.Index(spots.genes, dtype=str))
    if spots.gene_ids:
        var["gene_id"] = spots.gene_ids
    adata = anndata.AnnData(X=spots.counts, obs=obs, var=var)
    adata.obsm["spatial"] = spots.center_xy
    for name, values in features.items():
        adata.obsm[name] = values
    adata.obsm["neighbors"] = neighbors
    for name, table in spots.tables.items():
        adata.obsm[name] = table.set_axis(adata.obs_names)
    adata.uns["miso"] = json.loads(json.dumps(manifest))
    return adata


def finish_sample(partial: Path, out: Path, manifest: Mapping[str, Any]) -> Sample:
    """Write the manifest into a folder that holds all the rest, and rename it."""
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    replace_folder(partial, out)
    return open_sample(out)

"""The layouts that there are, by name."""

from functools import partial

from miso.errors import ConfigError
from miso.phantom.layouts import anndata_file, her2st, legacy_st, space_ranger, spatial_data, visium_hd
from miso.phantom.layouts.layout import Layout
from miso.phantom.layouts.space_ranger import Version
from miso.registry import unknown


def _visium(version: Version) -> Layout:
    return Layout(array="visium", pieces=partial(space_ranger.pieces, version=version))


LAYOUTS: dict[str, Layout] = {
    "her2st": Layout(array="st", pieces=her2st.pieces, folders=her2st.FOLDERS, has_ids=False),
    "legacy-st": Layout(array="st", pieces=legacy_st.pieces, folders=(), has_ids=False),
    "space-ranger-1": _visium(
        Version(software="spaceranger-1.3.1", chemistry="Spatial 3' v1", header=False),
    ),
    "space-ranger-2": _visium(
        Version(software="spaceranger-2.0.1", chemistry="Spatial 3' v1"),
    ),
    "space-ranger-mtx": _visium(
        Version(software="spaceranger-2.0.1", chemistry="Spatial 3' v1", matrix="mtx"),
    ),
    "space-ranger-cytassist": _visium(
        Version(software="spaceranger-4.0.1", chemistry="Visium V4 Slide - FFPE v2", cytassist=True),
    ),
    "space-ranger-probes": _visium(
        Version(
            software="spaceranger-2.1.0",
            chemistry="Visium V4 Slide - FFPE v2",
            matrix="probes",
            cytassist=True,
        ),
    ),
    "visium-hd": Layout(array="hd", pieces=visium_hd.pieces),
    "h5ad": Layout(array="visium", pieces=anndata_file.pieces, folders=()),
    "spatialdata": Layout(array="visium", pieces=spatial_data.pieces),
}
"""Names and layouts; Space Ranger's differ by version, by the form of the matrix and by the CytAssist."""


def find_layout(name: str) -> Layout:
    """Look a layout up.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    if name not in LAYOUTS:
        raise ConfigError(unknown("layout", name, list(LAYOUTS)))
    return LAYOUTS[name]

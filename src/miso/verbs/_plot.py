"""Drawing maps: what the words of the options mean, and which go together."""

from collections.abc import Sequence
from pathlib import Path

import anndata

from miso.errors import ConfigError, MapError
from miso.maps import ExpressionMap, open_map
from miso.maps.cutout import box_about
from miso.maps.plot_maps import plot_maps
from miso.maps.regions import read_regions
from miso.maps.thumbnail import Box
from miso.samples import open_sample
from miso.untrusted.hdf5_links import check_hdf5


def draw(
    paths: Sequence[Path],
    genes: Sequence[str],
    out: Path,
    *,
    zoom: str = "",
    region: Path | None = None,
    spots: Path | None = None,
    predictions: Path | None = None,
    std: bool = False,
    limits: str = "",
    log: bool = False,
) -> None:
    """Open what is named and draw it.

    Raises
    ------
    ConfigError
        If options are malformed or do not go together.
    """
    if zoom and region:
        raise ConfigError("--zoom and --region each say what is shown; pass one of them")
    if predictions and not spots:
        raise ConfigError("--predictions are drawn at the spots of a Sample; name it by --spots")
    maps = [open_map(path) for path in paths]
    plot_maps(
        maps,
        genes,
        out,
        zoom=_zoom(zoom, maps[0]) if zoom else None,
        regions=read_regions(region) if region else (),
        sample=open_sample(spots) if spots else None,
        predictions=_read(predictions) if predictions else None,
        std=std,
        limits=_limits(limits) if limits else None,
        log=log,
    )


def _zoom(words: str, map_: ExpressionMap) -> Box:
    x, y, width_um = _numbers("--zoom", words, "X,Y,WIDTH_UM", "2400,3100,500")
    return box_about((x, y), width_um, map_.header.slide.mpp, map_.header.slide.size_px)


def _limits(words: str) -> tuple[float, float]:
    low, high = _numbers("--limits", words, "LOW,HIGH", "0,5")
    return low, high


def _numbers(option: str, words: str, form: str, example: str) -> list[float]:
    try:
        numbers = [float(word) for word in words.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(form.split(",")):
        raise ConfigError(f"{option} is {form}, such as {example}, not {words!r}")
    return numbers


def _read(path: Path) -> anndata.AnnData:
    if not path.is_file():
        raise MapError(f"no predictions at {path}; miso predict writes them, one .h5ad a sample")
    try:
        check_hdf5(path)
        return anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError, TypeError) as err:
        said = " ".join(str(err).split())[:120]
        raise MapError(f"{path} is no .h5ad of predictions ({said}); miso predict writes them") from err

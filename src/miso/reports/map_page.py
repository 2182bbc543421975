"""The page of a map: its slide and models, pictures of its best genes, how far each can be trusted."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from miso.launch.provenance import flatten
from miso.maps import ExpressionMap
from miso.maps.sampling import Plane
from miso.models.calibration import LEVEL, Calibration, half_width
from miso.models.reliability import as_records, untested
from miso.reports.map_picture import MapPainter, median
from miso.reports.numbers import share
from miso.reports.picture import ramp
from miso.reports.skeleton import check_ours, identity, is_made_of, render, write_page
from miso.reports.thin_map import ThinMap

TEMPLATE = "map.html"
MOST_PICTURES = 12
NOVELTY_COLORS = "magma"


def page_of(map_: Path) -> Path:
    """Return where a map's page lies: beside it, under its name."""
    return map_.with_suffix(".html")


def write_map_page(map_: ExpressionMap, page: Path, reliability: pd.DataFrame | None = None) -> bool:
    """Write the page, unless there is one of the very same map; return whether it was written.

    Parameters
    ----------
    reliability
        What cross-validation says of the genes (see `miso.models.reliability`); None of models without.

    Raises
    ------
    ConfigError
        If another file is in its place.
    MapError
        If the map is damaged.
    """
    known = untested(map_.genes) if reliability is None else reliability.reindex(list(map_.genes))
    known["grade"] = [map_.grades.get(gene, known["grade"][gene]) for gene in map_.genes]
    records = as_records(known.rename_axis(None))
    made_of = identity(
        TEMPLATE, {"map": map_.header.to_json(), "genes": records, "path": str(map_.path.resolve())}
    )
    if is_made_of(page, made_of):
        return False
    check_ours(page)
    write_page(page, _render(map_, records, made_of))
    return True


def _render(map_: ExpressionMap, records: list[dict[str, Any]], made_of: str) -> str:
    ranked = sorted(records, key=_rank)
    thin = ThinMap.of(map_)
    novelty, seen = thin.novelty, np.isfinite(thin.gene(ranked[0]["gene"]))
    painter = MapPainter.of(thin, seen, novelty)
    known = None if map_.header.calibration is None else Calibration.from_json(map_.header.calibration)
    return render(
        TEMPLATE,
        made_of,
        name=map_.path.name,
        facts=_facts(thin, seen),
        novelty=_novelty(map_, novelty, painter),
        slide=painter.bare(),
        genes=[_gene(thin, record, painter, known) for record in ranked[:MOST_PICTURES]],
        table=[{**record, "interval": _has_interval(known, record["gene"])} for record in ranked],
        units=map_.units,
        calibration=known,
        level=LEVEL,
        graded=any(record["r_cv"] is not None for record in records),
        ramps={"expression": ramp(), "novelty": ramp(NOVELTY_COLORS)},
        commands=_commands(map_, [record["gene"] for record in ranked[:4]]),
        provenance=flatten(map_.provenance).items(),
    )


def _rank(record: dict[str, Any]) -> tuple[str, float, float]:
    """Sort by grade ("untested" comes after D), then by what cross-validation measured."""
    low, mean = (record[key] if record[key] is not None else -2.0 for key in ("r_low", "r_cv"))
    return str(record["grade"]), -low, -mean


def _facts(thin: ThinMap, seen: Any) -> list[tuple[str, str]]:
    map_ = thin.map_
    slide, made, (rows, columns) = map_.header.slide, map_.provenance, map_.raster.shape
    said = {
        key: made.get(key, "–")
        for key in ("tissue", "run", "target", "encoder", "stain", "written", "miso_version")
    }
    cells = f"{rows:,} × {columns:,} cells of {map_.pitch_um:.3g} µm"
    width, height = slide.size_px
    area_mm2 = seen.sum() * (thin.cell_um / 1000) ** 2
    trained = made.get("trained_on")
    return [
        ("slide", f"{slide.name}, {width:,} × {height:,} px ({slide.path})"),
        ("µm per pixel", f"{slide.mpp:.4g}, from: {slide.mpp_source}"),
        ("map", f"{len(map_):,} genes × {cells}, {map_.units}"),
        ("mapped", f"{share(seen.mean())} of the slide, {area_mm2:.3g} mm² (tissue: {said['tissue']})"),
        ("windows", windows_in_words(made)),
        ("models", f"{_models(made.get('checkpoints'))} of {said['run']}"),
        ("trained on", ", ".join(map(str, trained)) if isinstance(trained, Sequence) else "–"),
        ("predicts", f"{said['target']}, from {said['encoder']}; stain {said['stain']}"),
        ("made", f"{said['written']} by miso {said['miso_version']}"),
    ]


def _models(checkpoints: object) -> str:
    return f"{checkpoints} checkpoint{'s' * (checkpoints != 1)}" if isinstance(checkpoints, int) else "–"


def windows_in_words(made: dict[str, object]) -> str:
    """Say how windows met, as far as a map's provenance tells."""
    window, stride, passes = (made.get(key) for key in ("window_px", "stride_px", "passes"))
    if window is None or stride is None:
        return "–"
    tile = made.get("tile")
    mpp = f" at {tile['mpp']:.3g} µm/px" if isinstance(tile, dict) and "mpp" in tile else ""
    met = "side by side" if stride == window else f"every {stride} px, blended where they overlap"
    gone = f", {passes} passes, each shifted, blended" if isinstance(passes, int) and passes > 1 else ""
    return f"of {window} px{mpp}, {met}{gone}"


def _novelty(map_: ExpressionMap, novelty: Plane | None, painter: MapPainter) -> dict[str, Any]:
    seen = novelty[np.isfinite(novelty)] if novelty is not None else np.empty(0)
    limits = 0.0, max(float(np.percentile(seen, 99)), 1.0) if seen.size else 1.0
    return {
        "of_slide": map_.slide_novelty,
        "beyond": float((seen > 1).mean()) if seen.size else None,
        "picture": painter.paint(novelty, NOVELTY_COLORS, limits)[0] if novelty is not None else None,
        "limits": limits,
    }


def _gene(
    thin: ThinMap, record: dict[str, Any], painter: MapPainter, known: Calibration | None
) -> dict[str, Any]:
    gene = record["gene"]
    plane = thin.gene(gene)
    picture, limits = painter.paint(plane)
    typical = median(plane)
    half = float("nan")
    if known is not None and gene in known.genes:
        half = float(half_width(known, np.array([typical]), known.genes.index(gene))[0])
    return {
        **record,
        "picture": picture,
        "limits": limits,
        "median": typical,
        "spread": median(thin.std(gene)),
        "half": half,
    }


def _has_interval(known: Calibration | None, gene: str) -> bool:
    if known is None or gene not in known.genes:
        return False
    return bool(np.isfinite(known.base[known.genes.index(gene)]))


def _commands(map_: ExpressionMap, genes: Sequence[str]) -> list[tuple[str, str]]:
    """Return command lines that open the map further, and what each does."""
    path, slide = str(map_.path.resolve()), map_.header.slide.path
    stem = map_.path.stem
    return [
        ("Pan and zoom over it in the browser", shlex.join(["miso", "view", slide, "--map", path])),
        (
            "Draw genes, with their spread",
            shlex.join(["miso", "plot", path, "--gene", ",".join(genes), "--std", "--out", f"{stem}.png"]),
        ),
        (
            "Take it to scanpy, or to QuPath",
            shlex.join(["miso", "export", path, "--to", "h5ad", "--out", f"{stem}.h5ad"])
            + "\n"
            + shlex.join(
                ["miso", "export", path, "--to", "geojson", "--genes", genes[0], "--out", f"{stem}.geojson"]
            ),
        ),
    ]

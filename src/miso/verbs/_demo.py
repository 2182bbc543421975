"""The steps of `miso demo`, each through the same functions as the commands of the main road."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from miso.maps import ExpressionMap
from miso.maps.canvas import save
from miso.maps.plot import draw_planes, plot_map, plot_spots
from miso.maps.thumbnail import Thumbnail
from miso.phantom import PhantomSpec, Truth, open_truth, write_her2st
from miso.phantom.score import cells_under_spots, within_spot_r
from miso.samples import Sample, open_cohort, open_sample
from miso.samples.targets import dense_counts
from miso.storage import write_path
from miso.training import CohortConfig, TrainConfig, train
from miso.training.distill import generate_labels
from miso.verbs import console
from miso.verbs._process_batch import process_her2st_folder
from miso.verbs._process_options import ProcessOptions
from miso.verbs._super_resolve import MapOptions, Mapper

SHOWN = ("ERBB2", "KRT8", "CD3D")
"""Markers of tumour, epithelium and lymphocytes: what is drawn."""
SIZE_UM = 2200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the demo keeps its things."""

    out: Path

    @property
    def cohort(self) -> Path:
        """The synthetic dataset, in the HER2ST layout."""
        return self.out / "phantom"

    @property
    def samples(self) -> Path:
        """Its Samples."""
        return self.cohort / "processed_data"

    def config(self, model: str) -> TrainConfig:
        """Return the settings of the run of teachers ("miso") or of students ("patch")."""
        return TrainConfig(
            model=model,
            cohort=CohortConfig(path=str(self.samples)),
            splits=str(self.cohort / "splits.json") if model == "miso" else None,
            run_dir=str(self.out / "runs" / model),
        )


def walk(out: Path, seed: int) -> None:
    """Do every step, print the figures and name the pictures."""
    places, times = Places(out=out), dict[str, float]()
    spec = PhantomSpec(seed=seed, size_um=SIZE_UM)
    with console.timed(times, "draw the cohort"):
        console.tell(f"drawing {len(spec.sections)} synthetic sections of {spec.n_patients} patients …")
        write_her2st(spec, places.cohort)
    with console.timed(times, "process"):
        process_her2st_folder(
            places.cohort,
            [],
            ProcessOptions(encoder="stain", device="cpu"),
        )
    with console.timed(times, "train"):
        teachers = train(places.config("miso"), console.tell, console.track)
    with console.timed(times, "distil"):
        generate_labels(places.config("miso"), open_cohort(places.samples), console.track)
        students = train(places.config("patch"), console.tell, console.track)
    with console.timed(times, "super-resolve"):
        maps = dict(_maps(places))
    with console.timed(times, "score and draw"):
        scores = _score(places, maps)
        pictures = _draw(places, maps)
    _report(out, {**teachers, **students}, scores, times)
    console.tell("pictures:\n" + "\n".join(f"  {picture}" for picture in pictures))
    section, first = next(iter(maps.items()))
    console.tell(f"draw another gene: {console.program()} plot {first.path} --gene EPCAM --out EPCAM.png")
    console.tell(f"pan over it in the browser: {_view(places, section, first)}")


def _view(places: Places, section: str, map_: ExpressionMap) -> str:
    """Say how to look at a section with all that is known of it."""
    predicted = places.out / "runs" / "miso" / "predictions" / f"{section}.h5ad"
    return (
        f"{console.program()} view {_slide(places, section)} --map {map_.path} "
        f"--sample {places.samples / section} --sample {predicted}"
    )


def _slide(places: Places, section: str) -> Path:
    return places.cohort / "images" / "HE" / f"{section}.jpg"


def _held_out(places: Places) -> list[str]:
    splits = json.loads((Path(places.config("patch").run_dir or "") / "splits.json").read_text())
    return [name for fold in splits["folds"] for name in fold["test"]]


def _maps(places: Places) -> Iterator[tuple[str, ExpressionMap]]:
    mapper = Mapper(places.out / "runs" / "patch", MapOptions())
    for name in _held_out(places):
        out = places.out / "maps" / f"{name}.zarr"
        yield name, mapper.map(_slide(places, name), out)


def _truth(places: Places, section: str) -> Truth:
    return open_truth(places.cohort / "truth" / f"{section}.npz")


def _score(places: Places, maps: dict[str, ExpressionMap]) -> pd.DataFrame:
    """Score each gene of each held-out section: r at spots of every model, and within spots of the map."""
    rows = []
    for section, map_ in maps.items():
        sample, truth = open_sample(places.samples / section), _truth(places, section)
        cells = cells_under_spots(
            truth.raster, sample.adata.obsm["spatial"], sample.spot_diameter_um / sample.mpp
        )
        visible = dict(zip(truth.genes, truth.visible.tolist(), strict=True))
        for gene in map_.genes:
            plane = _on_truth(map_, gene, truth)
            rows.append((section, gene, visible[gene], within_spot_r(plane, truth[gene], cells)))
    within = pd.DataFrame(rows, columns=["sample", "gene", "visible", "within_spot_r"])
    metrics = pd.concat(
        pd.read_parquet(places.out / "runs" / model / "metrics.parquet") for model in ("miso", "patch")
    )
    r = metrics[metrics["metric"] == "pearson"].pivot_table(
        index=["sample", "gene"], columns="model", values="value"
    )
    return within.merge(r.reset_index(), on=["sample", "gene"])


def _on_truth(map_: ExpressionMap, gene: str, truth: Truth) -> np.ndarray:
    """Read a map on the truth's cells, NaN off the tissue."""
    return np.where(truth.tissue > 0.5, map_.over(truth.raster, gene), np.float32(np.nan))


def _draw(places: Places, maps: dict[str, ExpressionMap]) -> list[Path]:
    pictures, folder = [], places.out / "pictures"
    section, map_ = next(iter(maps.items()))
    sample, truth = open_sample(places.samples / section), _truth(places, section)
    for gene in SHOWN:
        pictures += [_draw_beside_truth(map_, truth, gene, folder / f"{section}_{gene}_truth.png")]
    gene = SHOWN[0]
    pictures += [_draw_spots(places, sample, map_.thumbnail, gene, folder / f"{section}_{gene}_spots.png")]
    plot_map(map_, gene, folder / f"{section}_{gene}_map.png")
    return [*pictures, folder / f"{section}_{gene}_map.png"]


def _draw_beside_truth(map_: ExpressionMap, truth: Truth, gene: str, out: Path) -> Path:
    answer = np.where(truth.tissue > 0.5, truth[gene], np.float32(np.nan))
    figure = draw_planes(
        {"truth": (answer, "molecules per patch"), "predicted": (_on_truth(map_, gene, truth), map_.units)},
        truth.raster,
        map_.thumbnail,
        mpp=truth.mpp,
        title=gene,
        subtitle=f"{truth.section}, a patient never seen in training · cells of {map_.pitch_um:g} µm",
    )
    save(figure, out)
    return out


def _draw_spots(places: Places, sample: Sample, picture: Thumbnail, gene: str, out: Path) -> Path:
    predicted = anndata.read_h5ad(places.out / "runs" / "miso" / "predictions" / f"{sample.name}.h5ad")
    plot_spots(
        sample.adata.obsm["spatial"],
        sample.spot_diameter_um / sample.mpp,
        {
            "measured": dense_counts(sample.adata, [gene])[:, 0],
            "predicted": np.asarray(predicted[:, [gene]].X)[:, 0],
        },
        picture,
        out,
        mpp=sample.mpp,
        units="counts per spot",
        title=gene,
        subtitle=f"{sample.name}, a patient never seen in training",
    )
    return out


def _report(
    out: Path, summary: dict[str, dict[str, object]], scores: pd.DataFrame, times: dict[str, float]
) -> None:
    names = [name for name in [*summary, "within_spot_r"] if name in scores]
    by_gene = scores.groupby(["visible", "gene"])[names].mean()  # over held-out sections
    columns = {
        "visible": by_gene.xs(True, level="visible"),
        "invisible": by_gene.xs(False, level="visible"),
        "invisible |r|": by_gene.xs(False, level="visible").abs(),
    }
    figures = {title: {name: float(r[name].mean()) for name in names} for title, r in columns.items()}
    titles = {"within_spot_r": "patch, within spots"}
    rows = [
        (
            titles.get(name, f"{name}, at spots"),
            *(console.number(column[name]) for column in figures.values()),
        )
        for name in names
    ]
    console.show_table("Pearson's r on a patient never seen, mean over genes", ["", *columns], rows)
    console.show_table(
        "seconds",
        ["stage", "s"],
        [(stage, f"{seconds:.1f}") for stage, seconds in [*times.items(), ("all", sum(times.values()))]],
    )
    with write_path(out / "figures.json") as temporary:
        temporary.write_text(json.dumps({"pearson": figures, "seconds": times}, indent=1))
    with write_path(out / "scores.csv") as temporary:
        scores.to_csv(temporary, index=False)

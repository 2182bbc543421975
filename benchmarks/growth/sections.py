"""Sections of a cohort against processing, training and the report, in time, peak memory and bytes.

Processing and the report take small phantom sections, drawn a few times and copied with noise of their own;
training takes Samples of random features, whose cohort is large beside what is held of it in memory.
"""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from growth.child import apart, command, watched
from growth.plan import Plan
from growth.rows import Row, Rows, Value
from large_cohort import write_sample
from miso.samples.sample import MANIFEST

AXIS, PROCESS, REPORT, TRAIN = "sections", "process", "report page", "train"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWX"
DRAWN = 3
VAL_AND_TEST = 2


def measure_sections(plan: Plan, rows: Rows, work: Path) -> None:
    """Measure what is not measured yet."""
    section = f"phantoms of {plan.section_um:g} µm, {60 + plan.section_genes} genes, stain"
    for n in plan.sections:
        if rows.lacks(AXIS, PROCESS, n, section) or rows.lacks(AXIS, REPORT, n, section):
            with TemporaryDirectory(dir=work) as folder:
                write_sections(plan, Path(folder), work, names_of(n))
                figures = command(f"process-her2st --path-dataset {folder} --encoder stain --device cpu")
                rows.measure(AXIS, PROCESS, n, section, figures.copy)
                given: dict[str, Value] = {"folder": f"{folder}/processed_data", "n": n}
                rows.measure(AXIS, REPORT, n, section, partial(apart, "report", given))
    spots, dims, genes = plan.train_sizes
    sizes = (
        f"{spots} spots × {dims} features × {genes} genes, {plan.held_mib} MiB held, {plan.epochs} epochs, "
        "baselines too"
    )
    for n in plan.sections:
        if rows.lacks(AXIS, TRAIN, n, sizes):
            given = {"folder": str(write_samples(plan, work / "samples", n)), "n": n}
            given |= {"held_mib": plan.held_mib, "epochs": plan.epochs}
            rows.measure(AXIS, TRAIN, n, sizes, partial(apart, "train", given))


def names_of(n: int) -> list[str]:
    """Name n sections of up to 24 patients, as evenly as can be: A1, B1, … X1, A2 and so on."""
    return [f"{LETTERS[i % len(LETTERS)]}{i // len(LETTERS) + 1}" for i in range(n)]


def write_sections(plan: Plan, folder: Path, work: Path, names: Sequence[str]) -> None:
    """Write a HER2ST folder."""
    from miso.phantom import PhantomSpec, write_her2st

    spec = PhantomSpec(
        seed=4, n_patients=DRAWN, n_sections=1, size_um=plan.section_um, n_null=plan.section_genes
    )
    drawn = write_her2st(spec, work / f"drawn_{plan.section_um:g}")
    for part in ("count-matrices", "images/HE", "spot-selections"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        first = spec.sections[index % DRAWN]
        for file in ("count-matrices/{}.tsv.gz", "spot-selections/{}_selection.tsv.gz"):
            shutil.copyfile(drawn / file.format(first), folder / file.format(name))
        image = np.asarray(Image.open(drawn / "images" / "HE" / f"{first}.jpg")).astype(np.float32)
        noise = np.random.default_rng([*name.encode()]).standard_normal(image.shape, dtype=np.float32)
        noisy = (image + 2 * noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "images" / "HE" / f"{name}.jpg", quality=92)


def write_samples(plan: Plan, folder: Path, n: int) -> Path:
    """Write as many Samples of random features as are lacking to train on n, validate on one, test on one."""
    folder.mkdir(exist_ok=True)
    spots, dims, genes = plan.train_sizes
    for index in range(n + VAL_AND_TEST):
        sample = folder / f"S{index}"
        if not sample.exists():
            write_sample(folder, index, spots, dims, genes)
            manifest = json.loads((sample / MANIFEST).read_text())
            manifest["slide"] = {"path": f"{index}.png", "size_px": [1, 1]}
            manifest["settings"]["inputs"] = {f"{index}.png": str(index)}  # each of a slide of its own
            (sample / MANIFEST).write_text(json.dumps(manifest))
    return folder


def report_child(given: dict[str, str]) -> Row:
    """Write the page of a folder of Samples anew, beside the one that processing left."""
    from miso.reports.samples_page import samples_in, write_samples_page

    folder, figures = Path(given["folder"]), Row()
    page = folder.parent / "page.html"
    with watched(figures):
        samples, damaged = samples_in(folder)
        write_samples_page(page, samples, damaged, title="growth")
    if len(samples) != int(given["n"]) or damaged:
        raise SystemExit(f"{len(samples)} Samples, {len(damaged)} of them damaged; expected {given['n']}")
    return {**figures, "written_kb": round(page.stat().st_size / 1e3, 1)}


def train_child(given: dict[str, str]) -> Row:
    """Train teachers on n sections, one fold, with a fixed amount of sections held in memory."""
    from miso.training import TrainConfig, train
    from miso.training.config import CohortConfig
    from miso.training.sections import Held

    folder, figures, n = Path(given["folder"]), Row(), int(given["n"])
    names = [f"S{index}" for index in range(n + VAL_AND_TEST)]
    fold = {"train": names[:n], "val": names[n : n + 1], "test": names[n + 1 :]}
    splits = folder.parent / f"splits_{n}.json"
    splits.write_text(json.dumps({"unit": "sample", "folds": [fold]}))
    config = TrainConfig(
        cohort=CohortConfig(path=str(folder), only=names),
        splits=str(splits),
        run_dir=str(folder.parent / f"run_{n}"),
        max_epochs=int(given["epochs"]),
        device="cpu",
    )
    budget = Held(int(given["held_mib"]) * 2**20)
    Held.on = classmethod(lambda cls, device: budget)  # type: ignore[assignment,method-assign]
    with watched(figures):
        train(config)
    shutil.rmtree(folder.parent / f"run_{n}")
    return figures

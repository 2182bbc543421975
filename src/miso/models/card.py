"""The model card of a bundle: what it predicts, from what, how well each gene, and its limits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import pandas as pd
import yaml

from miso.encoders.catalogue import CATALOGUE
from miso.models.checkpoint import Checkpoint
from miso.models.encoder_id import licence_of, name_and_revision
from miso.models.reliability import GRADES, UNTESTED, as_records

BEST = 25
"""Genes whose r the card shows; the index of the bundle has them all."""
LICENCES = {
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "gpl-3.0",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0",
}
"""Names that the hub knows; another one is kept beside "other"."""
HeldApart = Literal["patient", "sample", "unknown"]
APART = {
    "patient": "Whole patients were held out, so r is about patients that the model had not seen.",
    "sample": "Sections were held out, and others of the same patient may have been trained on: r says "
    "nothing about another patient.",
    "unknown": "How sections were held out is not known.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a card says beside what its Checkpoints know.

    Attributes
    ----------
    name
        Of the model.
    licence
        Of its weights, as an SPDX name; "unstated" until whoever shares it says.
    data
        Where the sections come from, in a sentence.
    sections, patients
        How many the model was trained, validated and scored on; None where it is not known.
    held_apart
        What was never split between training and test.
    compared
        Mean r over genes of the model and of what stood beside it in its run, by name.
    """

    name: str
    licence: str = "unstated"
    data: str = ""
    sections: int | None = None
    patients: int | None = None
    held_apart: HeldApart = "unknown"
    compared: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read it; another version's further facts are left out.

        Raises
        ------
        ValueError
            If how sections were held apart is none of the ways known.
        """
        facts = cls(**{key: content[key] for key in cls.__dataclass_fields__ if key in content})
        if facts.held_apart not in APART:
            raise ValueError(f"held_apart is {facts.held_apart!r}")
        if not all(isinstance(r, int | float) for r in facts.compared.values()):
            raise ValueError(f"compared is {str(facts.compared)[:60]}")
        return facts


def card(checkpoints: Sequence[Checkpoint], reliability: pd.DataFrame, facts: Facts) -> str:
    """Write the card in the model hub's form: a YAML head, then Markdown."""
    head = yaml.safe_dump(_head(checkpoints[0], facts), sort_keys=False, allow_unicode=True)
    sections = [
        f"---\n{head}---",
        f"# {_line(facts.name)}",
        _summary(checkpoints, facts),
        "## Input and output",
        _inputs(checkpoints[0]),
        "## Data",
        _data(checkpoints, facts),
        "## How well each gene is predicted",
        _scores(reliability, facts),
        "## Intended use and limits",
        _limits(checkpoints[0]),
        "## How to load it",
        _loading(checkpoints[0]),
    ]
    return "\n\n".join(sections) + "\n"


def _head(first: Checkpoint, facts: Facts) -> dict[str, Any]:
    spdx = facts.licence.lower()
    licence = (
        {"license": spdx} if spdx in LICENCES else {"license": "other", "license_name": _line(facts.licence)}
    )
    tags = ["miso", "spatial-transcriptomics", "histopathology", "gene-expression", "whole-slide-imaging"]
    entry = CATALOGUE.get(name_and_revision(first.encoder)[0].partition(":")[0])
    base = {"base_model": entry.repo} if entry else {}
    return {**licence, "library_name": "miso", "tags": tags, **base}


def _summary(checkpoints: Sequence[Checkpoint], facts: Facts) -> str:
    first = checkpoints[0]
    what = "every patch of a tile (a student)" if first.kind == "patch" else "every spot (a teacher)"
    many = f", the mean of {len(checkpoints)} models" if len(checkpoints) > 1 else ""
    where = (
        f" from an imported checkpoint, `{first.notes['imported_from']}`"
        if "imported_from" in first.notes
        else ""
    )
    return (
        f"Predicts the expression of {len(first.genes)} genes at {what} of an H&E slide, with "
        f"MISO (`pip install miso-spatial`){many}{where}."
    )


def _inputs(first: Checkpoint) -> str:
    name, revision = name_and_revision(first.encoder)
    stain = first.stain["method"]
    rows = {
        "encoder": f"`{name}`, revision `{revision or 'unknown'}`",
        "licence of the encoder": licence_of(first.encoder),
        "tile": f"{first.tile['size_px']:g} px at {first.tile['mpp']:.4g} µm/px",
        "patches": f"{first.patch_px} px",
        "stain of tiles": "as it is" if stain == "none" else f"brought to one by {stain}",
        "features": f"{first.in_dim} numbers a {'patch' if first.kind == 'patch' else 'tile'}",
        "neighbours": f"the {first.knn} nearest spots, itself included",
        "spots of the training data": f"{first.spot_diameter_um:g} µm",
        "target": f"`{first.target}`",
        "units": first.units,
    }
    if first.kind == "patch":
        del rows["neighbours"]
    return "| | |\n|---|---|\n" + "\n".join(f"| {key} | {value} |" for key, value in rows.items())


def _data(checkpoints: Sequence[Checkpoint], facts: Facts) -> str:
    learned = {name for c in checkpoints for name in (*c.trained_on, *c.validated_on)}
    tested = {name for c in checkpoints for name in c.held_out}
    lines = [
        f"- Source: {_line(facts.data) or 'not stated'}.",
        f"- {_count(facts.sections, 'section')} of {_count(facts.patients, 'patient')}: "
        f"{len(learned)} learned from, {len(tested)} held out by at least one of the models.",
        f"- {APART[facts.held_apart]}",
        f"- Licence of these weights: {_line(facts.licence)}. The encoder's own terms hold beside it.",
    ]
    return "\n".join(lines)


def _scores(table: pd.DataFrame, facts: Facts) -> str:
    grades = Counter(table["grade"])
    rule = "; ".join(f"**{letter}** from {least:g}" for letter, least in GRADES)
    lines = [
        "r is Pearson's correlation with the measured target over the spots of a section that was held out, "
        "averaged over sections, folds and repeats. Its grade is decided by r less its standard error over "
        f"sections: {rule}; **D** below; **{UNTESTED}** where no r is known. A single section gives a C at "
        "best.",
        "| grade | "
        + " | ".join((*"ABCD", UNTESTED))
        + " |\n|---|---|---|---|---|---|\n| genes | "
        + " | ".join(str(grades.get(grade, 0)) for grade in (*"ABCD", UNTESTED))
        + " |",
    ]
    scored = table.dropna(subset="r_cv").sort_values("r_cv", ascending=False, kind="stable")
    if len(scored):
        median = f"The median gene has r = {scored['r_cv'].median():.3f}."
        lines += [f"{median} The best {min(BEST, len(scored))} of {len(table)}:", _rows(scored.head(BEST))]
        lines.append("`bundle.json` has every gene, and predictions carry them in `adata.var`.")
    if len(facts.compared) > 1:
        beside = sorted(facts.compared.items(), key=lambda item: -item[1])
        rows = "\n".join(f"| {_line(name)} | {r:.3f} |" for name, r in beside)
        lines += [
            "Beside what it has to beat, in the same run:",
            f"| model | mean r over genes |\n|---|---|\n{rows}",
        ]
    return "\n\n".join(lines)


def _rows(best: pd.DataFrame) -> str:
    head = "| gene | r | sections | ceiling | grade |\n|---|---|---|---|---|"
    rows = (
        f"| {_line(row['gene'])} | {row['r_cv']:.3f} | {row['sections']} | "
        f"{'–' if row['ceiling'] is None else format(row['ceiling'], '.3f')} | {row['grade']} |"
        for row in as_records(best)
    )
    return "\n".join((head, *rows))


def _limits(first: Checkpoint) -> str:
    depth = "- On raw counts a good part of r is knowing how many molecules a spot has, whatever the gene."
    return "\n".join(
        (
            *([depth] if first.target == "raw" else []),
            "- For research on H&E sections like those it was trained on: the same organ, stain, scanner "
            "resolution and preparation. It is no medical device, and nothing here was tested in care.",
            "- It infers expression from what tissue looks like. A gene that morphology does not show is not "
            "predicted, however smooth its map; look at its grade first.",
            f"- Values are in *{first.units}*, on the scale of the training data; another chemistry or depth "
            "of sequencing has another scale.",
            "- Features of another encoder, resolution, tile, patch size or stain are refused, not adapted.",
        )
    )


def _loading(first: Checkpoint) -> str:
    use = (
        'predictor.super_resolve(miso.open_slide("slide.svs"), "map.zarr")'
        if first.kind == "patch"
        else 'predictor.predict(miso.open_sample("samples/S1"))  # AnnData; var["r_cv"], var["grade"]'
    )
    return f'```python\nimport miso\n\npredictor = miso.load("hf:OWNER/MODEL")  # or a folder\n{use}\n```'


def _count(number: int | None, noun: str) -> str:
    return f"an unknown number of {noun}s" if number is None else f"{number} {noun}{'s' * (number != 1)}"


def _line(text: str) -> str:
    """Keep text of others on one line of a table or a heading."""
    return " ".join(text.replace("|", "/").split()).rstrip(".")

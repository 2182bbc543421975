"""The settings of `miso train`, typed; unknown keys are refused where the configuration is read."""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class CohortConfig:
    """Which Samples are learnt from, and which genes.

    Attributes
    ----------
    path
        Folder of Samples.
    genes
        Text or CSV list of symbols, or `her2st_panel`; null takes all genes that every Sample has.
    also
        Genes added to the list, such as a marker that a benchmark's panel lacks.
    missing
        What to do with genes that some Sample lacks: `error`, `drop`, or `mask`, which learns each from the
        Samples that have it.
    only
        Names of the Samples to take; empty takes all.
    """

    path: str | None = None
    genes: str | None = None
    also: list[str] = field(default_factory=list)
    missing: str = "error"
    only: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class TrainConfig:
    """Settings of a run.

    Attributes
    ----------
    model
        `miso` trains teachers over spots, `patch` distils students over patches.
    splits
        JSON file, `her2st_folds`, `leave_one_sample_out` or `leave_one_patient_out`; a student takes those of
        its teachers.
    target
        `raw`, `log1p`, `log1p_cp10k`, or a table that every Sample has (`miso add-table`); a student takes
        its teachers'.
    preset
        `default` or `published`.
    loss
        What the network of `published` learns by: `cosine` (as published), `pearson`, `mse`, `mse+pearson`;
        null takes the preset's.
    seed, n_repeats
        Repeat r runs with seed + r.
    max_epochs
        Epochs the validation sections choose among; null takes the preset's.
    knn
        Nearest spots in a neighbour list.
    device
        `auto`, `cpu`, `cuda`, `mps`.
    baselines
        Whether the baselines are fitted and scored beside the model.
    labels
        Name of the label set: written by `generate-distillation-labels`, learnt from by `distil`.
    teachers
        `fold`: labels of fold f come from the teacher of fold f (leak-free); `all`: from the mean of all.
    run_dir
        Folder of the run.
    """

    model: str = "miso"
    cohort: CohortConfig = field(default_factory=CohortConfig)
    splits: str | None = None
    target: str = "raw"
    preset: str = "default"
    loss: str | None = None
    seed: int = 0
    n_repeats: int = 1
    max_epochs: int | None = None
    knn: int = 37
    device: str = "auto"
    baselines: bool = True
    labels: str = "pseudolabels"
    teachers: str = "fold"
    run_dir: str | None = None

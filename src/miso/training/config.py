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
        What the network of `published` learns by: `cosine` (as published), `pearson`, `mse`, `mse+pearson`,
        or of molecules `poisson`, `negative_binomial`; null takes the preset's.
    gene_weights
        How much genes count in the loss of `published`: a CSV or TSV file with the columns gene and weight,
        or `reliability`, the share of each that is not counting noise; null takes all alike.
    seed, n_repeats
        Repeat r runs with seed + r.
    max_epochs
        Epochs tried of networks; null takes the preset's. Sections that are left out of the training choose
        among them: for `published` and students those of validation.
    patience
        Epochs without a better score after which no more are tried; null takes the preset's: 10 for the
        default student, otherwise all are tried.
    accumulate
        Sections (for a student, batches of 16 spots, 128 for `published`) whose mean loss makes one step of
        the optimizer, on each device: a team of N devices (`torchrun`) takes N times as many a step.
    precision
        Of the products of matrices in training: `float32`, `bfloat16`, or `auto`, which is bfloat16 on CUDA
        devices that have it. Weights are float32, and so are predictions.
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
    gene_weights: str | None = None
    seed: int = 0
    n_repeats: int = 1
    max_epochs: int | None = None
    patience: int | None = None
    accumulate: int = 1
    precision: str = "auto"
    knn: int = 37
    device: str = "auto"
    baselines: bool = True
    labels: str = "pseudolabels"
    teachers: str = "fold"
    run_dir: str | None = None

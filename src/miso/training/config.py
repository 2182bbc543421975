"""The settings of `miso train`, typed; unknown keys are refused where the configuration is read."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from miso.launch import Launch
from miso.launch.memory import read_bytes

WHERE: Final = frozenset(
    {
        *("run_dir", "device", "launch", "workers", "address"),
        *("cpus", "gpus", "memory", "deadline", "retries", "cache"),
    }
)
"""Keys that say where a run lies and runs; none of them changes what comes of it."""


@dataclass(kw_only=True)
class CohortConfig:
    """Which Samples are learnt from, and which genes.

    Attributes
    ----------
    path
        Folder of Samples, or a URL.
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
        Folder of the run, or a URL.
    launch
        `local`, or `ray`: each fold of each repeat is a unit that a worker of the cluster does.
    workers
        Folds at a time, each in a process of its own; null is one after another in this process, or with
        `ray` as many as the cluster holds.
    address, cpus, gpus, memory, deadline, retries
        Of a launch with workers: the cluster's head, what a worker takes, the seconds after which a fold is
        given up, and how often one is begun again whose process died (see `miso.launch.Launch`).
    cache
        Folder for copies of what lies at URLs, and for what goes there while it is made; null is one below
        the system's folder for temporary files.
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
    launch: str = "local"
    workers: int | None = None
    address: str | None = None
    cpus: float | None = None
    gpus: float = 0.0
    memory: str | None = None
    deadline: float | None = None
    retries: int = 2
    cache: str | None = None

    def how(self) -> Launch:
        """Say how its folds are launched.

        Raises
        ------
        ConfigError
            If that is impossible.
        """
        return Launch(
            engine=self.launch,  # type: ignore[arg-type]  # checked there
            workers=self.workers,
            address=self.address,
            cpus=self.cpus,
            gpus=self.gpus,
            memory=None if self.memory is None else read_bytes(self.memory),
            deadline_s=self.deadline,
            retries=self.retries,
        )

    def content(self) -> dict[str, Any]:
        """Return the settings that a run's results depend on, not where it lies and runs."""
        settings = {key: value for key, value in asdict(self).items() if key not in WHERE}
        settings["cohort"].pop("path")
        return settings

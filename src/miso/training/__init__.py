"""Training: teachers, students, baselines, and the run folder that keeps what came of them."""

from miso.training.config import CohortConfig, TrainConfig
from miso.training.train import train

__all__ = ["CohortConfig", "TrainConfig", "train"]

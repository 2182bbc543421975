"""Processed sections, and the cohorts and splits made of them."""

from miso.samples.cohort import Cohort, open_cohort
from miso.samples.sample import Sample, open_sample
from miso.samples.splits import Fold, Splits, read_splits
from miso.samples.spots import Spots

__all__ = ["Cohort", "Fold", "Sample", "Splits", "Spots", "open_cohort", "open_sample", "read_splits"]

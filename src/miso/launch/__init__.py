"""Units of work (a sample, a fold, a slide), each with an atomic result, skipped when already there."""

from miso.launch.atomic import replace_folder, write_path
from miso.launch.batch import map_units
from miso.launch.claim import Busy, claim
from miso.launch.launch import Launch
from miso.launch.units import Outcome, RunReport, State, Unit, Work

__all__ = [
    "Busy",
    "Launch",
    "Outcome",
    "RunReport",
    "State",
    "Unit",
    "Work",
    "claim",
    "map_units",
    "replace_folder",
    "write_path",
]

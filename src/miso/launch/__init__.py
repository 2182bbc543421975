"""Units of work (a sample, a fold, a slide), done here or elsewhere, each skipped when it is there."""

from miso.launch.batch import map_units
from miso.launch.launch import Launch
from miso.launch.units import Outcome, RunReport, State, Unit, Work

__all__ = ["Launch", "Outcome", "RunReport", "State", "Unit", "Work", "map_units"]

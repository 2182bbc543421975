"""Units of work (a sample, a fold, a slide), each with an atomic result, skipped when already there."""

from miso.launch.atomic import replace_folder, write_path
from miso.launch.units import Outcome, RunReport, map_units

__all__ = ["Outcome", "RunReport", "map_units", "replace_folder", "write_path"]

"""Scripts of `benchmarks/` are no package: their folder is looked in last."""

import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(SCRIPTS))

"""How cost grows with area, spots, sections and workers: what `scale.py` measures, fits and foretells."""

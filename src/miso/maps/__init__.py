"""Maps of expression over a slide: made tile by tile, kept as Zarr, drawn over the tissue."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

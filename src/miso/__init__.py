"""MISO: from an H&E slide to a map of spatial gene expression."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

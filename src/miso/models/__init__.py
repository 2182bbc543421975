"""Models of expression: the MISO teacher over spots, the student over patches, and their checkpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""A layout: which array it is for, and the files of a section as paths and what writes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from miso.phantom.arrays import ArrayName
from miso.phantom.cohort import Section
from miso.phantom.spec import PhantomSpec

ImageFormat = Literal["jpeg", "tiff", "pyramid"]
"""Full-resolution pictures: JPEG, a flat TIFF in strips, a tiled pyramidal TIFF."""

Piece = tuple[str, Callable[[Path], object]]
"""A path below the cohort's folder, and what writes the file or folder there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What is asked for beside the cohort itself.

    Attributes
    ----------
    layout
        Its name in the catalog.
    image_format
        Of the full-resolution pictures.
    extra_features
        Whether one symbol has two Ensembl ids that share its molecules, and antibodies are captured too.
    outs
        Whether a Space Ranger folder's content lies in `outs`, as the pipeline leaves it.
    """

    spec: PhantomSpec
    layout: str
    image_format: ImageFormat = "jpeg"
    extra_features: bool = False
    outs: bool = True

    def chance(self, section: str) -> np.random.Generator:
        """Random numbers for what a vendor adds to a section; the same at every writing."""
        return np.random.default_rng([self.spec.seed, *section.encode()])

    def vendor_folder(self, section: str) -> str:
        """Where a pipeline left a section, below the cohort's folder."""
        return f"{section}/outs" if self.outs else section


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way of delivering a section.

    Attributes
    ----------
    array
        The array that it is for.
    pieces
        Files and folders of a section.
    folders
        Names that it uses at the top of the cohort's folder, beside one folder for each section.
    has_ids
        Whether genes have Ensembl ids beside symbols, so that a symbol may occur twice.
    """

    array: ArrayName
    pieces: Callable[[Section, Delivery], Iterator[Piece]]
    folders: tuple[str, ...] = ("images",)
    has_ids: bool = True

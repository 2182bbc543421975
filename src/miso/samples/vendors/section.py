"""One section as its vendor's folder tells it, before any image is opened."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from miso.samples.spots import Spots
from miso.units import Resolution

DuplicateGenes = Literal["sum", "unique"]
"""What becomes of genes of one symbol: their counts are summed, or each gets a name of its own (`-1`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorOptions:
    """What a reader cannot know by itself.

    Attributes
    ----------
    duplicate_genes
        What becomes of several genes (Ensembl ids) of one symbol.
    bin_um
        Side of the Visium HD bins to take; None takes the one that is there, or says which are.
    library
        Which library of an aggregated run, or which table of a store with several; empty if there is one.
    """

    duplicate_genes: DuplicateGenes = "sum"
    bin_um: float | None = None
    library: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallPicture:
    """A picture that comes with the spots but is not the one they are placed on.

    `scale` is its pixels per level-0 pixel; `name` is what people call it: hires, lowres, CytAssist.
    """

    path: Path
    name: str
    size_px: tuple[int, int]
    scale: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSection:
    """What a vendor's folder says of one section.

    Attributes
    ----------
    layout
        What was recognised, for people: `Space Ranger 2.1, Visium (CytAssist)`.
    name
        What the folder calls the section.
    spots
        Spots with their counts; positions are level-0 pixels of the full-resolution image.
    resolutions
        What the folder says of that image's µm per pixel, the most trusted first; neither the user's word nor
        the image's own tags are among them. May be empty.
    full_size_px
        (width, height) of the full-resolution image, where the folder says it; `size_slack_px` is how far off
        that may be by rounding.
    image
        The full-resolution image itself, where the folder holds it.
    pictures
        The small pictures that people pass for the full-resolution image by mistake.
    inputs
        Files that the section was read from.
    """

    layout: str
    name: str
    spots: Spots
    resolutions: list[Resolution]
    full_size_px: tuple[int, int] | None = None
    size_slack_px: float = 0.0
    image: Path | None = None
    pictures: list[SmallPicture] = field(default_factory=list)
    inputs: list[Path] = field(default_factory=list)

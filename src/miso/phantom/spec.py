"""Everything that a phantom cohort follows from: numbers, with lengths in µm."""

from dataclasses import dataclass, replace
from string import ascii_uppercase

from miso.errors import ConfigError
from miso.phantom.arrays import ARRAYS, BIN_UM, ArrayName, SpotArray
from miso.phantom.expression import PATCH_PX
from miso.phantom.fields import MPP
from miso.phantom.genes import VISIBLE, GeneTable, gene_table
from miso.registry import unknown

IMAGE_MPP = (MPP, MPP / 2)
"""µm per level-0 pixel at which a section can be painted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """Everything that a cohort follows from.

    Attributes
    ----------
    seed
        One number; the same gives the same cohort. A section does not depend on how many there are.
    n_patients, n_sections
        Patients A, B, … and sections of each: A1, A2, …
    size_um
        Side of the square sections, rounded to whole patches of 8 µm.
    array
        On which the spots lie: `st`, `visium` or `hd`.
    pitch_um, diameter_um
        Of the spots of a legacy ST array, where they differ from the array's own.
    image_mpp
        µm per level-0 pixel of the pictures: 0.5, or 0.25 for the same sections under a finer scanner.
    n_visible, n_null
        Genes that the slide shows, at most 60, and genes that it does not.
    depth
        Mean sequencing depth: a factor on all rates; sections vary about it by 25 %.
    capture_sd
        Standard deviation of the logarithm of what a spot catches.
    overdispersion
        φ of negative binomial counts, 0 for Poisson.
    n_uncounted
        Selected spots without counts in each section, as real folders have.
    n_folds
        Folds of `splits.json`: each tests on one patient and validates on the one before. Two patients leave
        none to validate on, and one patient is all for training.

    Raises
    ------
    ConfigError
        If no cohort can be made of it.
    """

    seed: int = 0
    n_patients: int = 4
    n_sections: int = 2
    size_um: float = 2600.0
    array: ArrayName = "st"
    pitch_um: float | None = None
    diameter_um: float | None = None
    image_mpp: float = MPP
    n_visible: int = len(VISIBLE)
    n_null: int = 20
    depth: float = 1.0
    capture_sd: float = 0.15
    overdispersion: float = 0.0
    n_uncounted: int = 2
    n_folds: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.n_patients <= len(ascii_uppercase):
            raise ConfigError(f"{self.n_patients} patients: patients are letters, so 1 to 26")
        if not 0 <= self.n_visible <= len(VISIBLE) or self.n_null < 0 or self.n_visible + self.n_null == 0:
            raise ConfigError(
                f"{self.n_visible} visible and {self.n_null} invisible genes: 0 to 60 and any number"
            )
        if not 0 <= self.n_folds <= self.n_patients:
            raise ConfigError(
                f"{self.n_folds} folds of {self.n_patients} patients: each tests on another patient"
            )
        if self.image_mpp not in IMAGE_MPP:
            raise ConfigError(f"a picture at {self.image_mpp} µm/px: the phantom is painted at 0.5 or 0.25")
        self._check_array()

    def _check_array(self) -> None:
        if self.array not in ARRAYS:
            raise ConfigError(unknown("array", self.array, list(ARRAYS)))
        if self.array != "st" and (self.pitch_um or self.diameter_um):
            raise ConfigError(
                f"a pitch or diameter for the array {self.array!r}: only 'st' spots can have another"
            )
        spots = self.spot_array
        if (
            spots.pitch_um <= 0
            or spots.diameter_um <= 0
            or self.size_um < 2 * max(spots.diameter_um, 2 * BIN_UM)
        ):
            raise ConfigError(
                f"spots of {spots.diameter_um} µm every {spots.pitch_um} µm on a section of {self.size_um} µm"
            )

    @property
    def spot_array(self) -> SpotArray:
        """The array, with this cohort's own pitch and diameter."""
        array = ARRAYS[self.array]
        pitch_um = array.pitch_um if self.pitch_um is None else self.pitch_um
        diameter_um = array.diameter_um if self.diameter_um is None else self.diameter_um
        return replace(array, pitch_um=pitch_um, diameter_um=diameter_um)

    @property
    def canvas_px(self) -> int:
        """Side of a section in the pixels of 0.5 µm in which it grows: a whole number of patches."""
        return round(self.size_um / MPP / PATCH_PX) * PATCH_PX

    @property
    def zoom(self) -> int:
        """Level-0 pixels a pixel of 0.5 µm, along a side."""
        return round(MPP / self.image_mpp)

    @property
    def size_px(self) -> int:
        """Side of a section's picture in level-0 pixels."""
        return self.canvas_px * self.zoom

    @property
    def patients(self) -> tuple[str, ...]:
        """Letters of the patients."""
        return tuple(ascii_uppercase[: self.n_patients])

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of all sections, patient by patient."""
        return tuple(f"{patient}{i + 1}" for patient in self.patients for i in range(self.n_sections))

    @property
    def genes(self) -> GeneTable:
        """The genes and their rates."""
        return gene_table(self.n_visible, self.n_null)

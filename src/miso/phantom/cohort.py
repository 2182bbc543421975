"""The synthetic cohort: patients with their own stain and composition, sections with their own layout."""

from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray

from miso.errors import ConfigError
from miso.phantom.cells import sow_nuclei
from miso.phantom.expression import (
    PATCH_PX,
    draw_counts,
    express,
    patch_raster,
    tissue_fraction,
)
from miso.phantom.fields import MPP
from miso.phantom.genes import VISIBLE, GeneTable, gene_table
from miso.phantom.ground import paint_ground
from miso.phantom.paint import Stain, paint
from miso.phantom.spots import JITTER_UM, MIN_COVER, Lattice, lay_lattice
from miso.phantom.tissue import Composition, grow_tissue
from miso.phantom.truth import Truth
from miso.units import ST_PITCH_UM, ST_SPOT_DIAMETER_UM


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
    pitch_um, diameter_um
        Of the spots.
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
    pitch_um: float = ST_PITCH_UM
    diameter_um: float = ST_SPOT_DIAMETER_UM
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
        if self.pitch_um <= 0 or self.diameter_um <= 0 or self.size_um < 2 * self.diameter_um:
            raise ConfigError(
                f"spots of {self.diameter_um} µm every {self.pitch_um} µm on a section of {self.size_um} µm"
            )

    @property
    def size_px(self) -> int:
        """Side of a section in level-0 pixels: a whole number of patches."""
        return round(self.size_um / MPP / PATCH_PX) * PATCH_PX

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What the sections of a patient share, up to a little."""

    composition: Composition
    stain: Stain


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One finished section.

    Attributes
    ----------
    image
        The H&E picture at 0.5 µm/px.
    spots
        Selected spots, tissue under each.
    counts, counted
        Molecules caught, and whether the spot is in the count matrix at all.
    truth
        The expected molecules everywhere, before depth and capture.
    """

    name: str
    image: UInt8[NDArray[np.uint8], "height width 3"]
    spots: Lattice
    counts: Int[NDArray[np.int64], "spot gene"]
    counted: NDArray[np.bool_]
    truth: Truth


def make_patient(seed: int, patient: int) -> Patient:
    """Draw a patient's tendencies and their laboratory's stain."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient,)))
    composition = Composition(
        adipose=rng.uniform(0.04, 0.14),
        glandular=rng.uniform(0.18, 0.36),
        tumour=rng.uniform(0.45, 0.70),
        lymphoid=rng.uniform(0.04, 0.10),
        nest_share=rng.uniform(0.45, 0.70),
        infiltration=rng.uniform(0.05, 0.25),
        collagen=rng.uniform(0.8, 1.2),
    )
    stain = Stain(
        haematoxylin=_unit(np.array([0.62, 0.70, 0.35]) + rng.normal(0, 0.05, 3)),
        eosin=_unit(np.array([0.14, 0.93, 0.33]) + rng.normal(0, 0.05, 3)),
        strength=(float(np.exp(rng.normal(0, 0.15))), float(np.exp(rng.normal(0, 0.18)))),
        glass=_triple(245 + rng.normal(0, 2) + rng.normal(0, 1.5, 3)),
    )
    return Patient(composition=composition, stain=stain)


def make_section(spec: PhantomSpec, patient: int, section: int) -> Section:
    """Grow, paint and sequence one section; both indices count from 0."""
    seeds = np.random.SeedSequence(spec.seed, spawn_key=(patient, section)).spawn(6)
    layout, sowing, ground_rng, painting, fields, sequencing = map(np.random.default_rng, seeds)
    owner = make_patient(spec.seed, patient)
    tissue = grow_tissue(layout, spec.size_px, owner.composition)
    nuclei = sow_nuclei(sowing, tissue, owner.composition)
    ground = paint_ground(ground_rng, tissue)
    programs = express(fields, tissue, nuclei, ground, spec.genes.n_fields)
    truth = Truth(
        section=spec.sections[patient * spec.n_sections + section],
        genes=spec.genes.symbols,
        visible=spec.genes.visible,
        loadings=spec.genes.loadings,
        programs=programs,
        tissue=tissue_fraction(tissue),
        raster=patch_raster(spec.size_px),
        mpp=MPP,
        depth=float(spec.depth * np.exp(sequencing.normal(0, 0.25))),
    )
    spots, counts, counted = sequence(sequencing, spec, truth)
    image = paint(painting, ground, nuclei, _restain(painting, owner.stain), spec.size_px)
    return Section(name=truth.section, image=image, spots=spots, counts=counts, counted=counted, truth=truth)


def sequence(
    rng: np.random.Generator, spec: PhantomSpec, truth: Truth
) -> tuple[Lattice, Int[NDArray[np.int64], "spot gene"], NDArray[np.bool_]]:
    """Lay the array under the tissue, keep the spots with tissue on them, and count."""
    lattice = lay_lattice(rng, spec.size_px, spec.pitch_um / MPP, spec.diameter_um / MPP, JITTER_UM / MPP)
    on_tissue = truth.tissue_under(lattice.center_xy, spec.diameter_um) >= MIN_COVER
    lattice = lattice.take(on_tissue)
    counts = draw_counts(
        rng,
        truth.under(lattice.center_xy, spec.diameter_um),
        depth=truth.depth,
        capture_sd=spec.capture_sd,
        overdispersion=spec.overdispersion,
    )
    counted = np.ones(len(counts), dtype=bool)
    counted[rng.permutation(len(counts))[: min(spec.n_uncounted, len(counts) // 4)]] = False
    return lattice, counts, counted


def _restain(rng: np.random.Generator, stain: Stain) -> Stain:
    """Stain in the same laboratory on another day: 4 % off in strength."""
    h, e = np.asarray(stain.strength) * np.exp(rng.normal(0, 0.04, 2))
    return Stain(haematoxylin=stain.haematoxylin, eosin=stain.eosin, strength=(h, e), glass=stain.glass)


def _triple(values: Float[NDArray[np.float64], "3"]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _unit(vector: Float[NDArray[np.float64], "3"]) -> tuple[float, float, float]:
    vector = np.maximum(vector, 0.02)
    return _triple(vector / np.linalg.norm(vector))

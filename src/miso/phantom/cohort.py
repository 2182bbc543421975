"""The synthetic cohort: patients with their own stain and composition, sections with their own layout."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray

from miso.phantom.cells import sow_nuclei
from miso.phantom.expression import draw_counts, express, patch_raster, tissue_fraction
from miso.phantom.fields import MPP
from miso.phantom.ground import paint_ground
from miso.phantom.paint import Stain, paint
from miso.phantom.spec import PhantomSpec
from miso.phantom.spots import MIN_COVER, Lattice, lay_array
from miso.phantom.tissue import Composition, grow_tissue
from miso.phantom.truth import Truth


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
        The H&E picture, at the cohort's `image_mpp`.
    sites, on_tissue
        Every site of the array that lies on the picture, and whether there is tissue under it.
    spots
        The sites with tissue.
    counts, counted
        Molecules caught, and whether the spot is in the count matrix at all.
    truth
        The expected molecules everywhere, before depth and capture.
    """

    name: str
    image: UInt8[NDArray[np.uint8], "height width 3"]
    sites: Lattice
    on_tissue: NDArray[np.bool_]
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
    tissue = grow_tissue(layout, spec.canvas_px, owner.composition)
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
        raster=patch_raster(spec.canvas_px),
        mpp=MPP,
        depth=float(spec.depth * np.exp(sequencing.normal(0, 0.25))),
    )
    array = spec.spot_array
    sites = lay_array(sequencing, spec.array, array, spec.canvas_px)
    on_tissue = truth.tissue_under(sites.center_xy, array.diameter_um, array.shape) >= MIN_COVER
    spots = sites.take(on_tissue)
    counts, counted = sequence(sequencing, spec, truth, spots)
    stain = _restain(painting, owner.stain)
    return Section(
        name=truth.section,
        image=paint(painting, ground, nuclei, stain, spec.canvas_px, spec.zoom),
        sites=sites.seen_at(spec.zoom),
        on_tissue=on_tissue,
        spots=spots.seen_at(spec.zoom),
        counts=counts,
        counted=counted,
        truth=truth.seen_at(spec.zoom),
    )


def sequence(
    rng: np.random.Generator, spec: PhantomSpec, truth: Truth, spots: Lattice
) -> tuple[Int[NDArray[np.int64], "spot gene"], NDArray[np.bool_]]:
    """Count molecules under the spots, and lose a few spots."""
    array = spec.spot_array
    counts = draw_counts(
        rng,
        truth.under(spots.center_xy, array.diameter_um, array.shape),
        depth=truth.depth,
        capture_sd=spec.capture_sd,
        overdispersion=spec.overdispersion,
    )
    counted = np.ones(len(counts), dtype=bool)
    counted[rng.permutation(len(counts))[: min(spec.n_uncounted, len(counts) // 4)]] = False
    return counts, counted


def _restain(rng: np.random.Generator, stain: Stain) -> Stain:
    """Stain in the same laboratory on another day: 4 % off in strength."""
    h, e = np.asarray(stain.strength) * np.exp(rng.normal(0, 0.04, 2))
    return replace(stain, strength=(h, e))


def _triple(values: Float[NDArray[np.float64], "3"]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _unit(vector: Float[NDArray[np.float64], "3"]) -> tuple[float, float, float]:
    vector = np.maximum(vector, 0.02)
    return _triple(vector / np.linalg.norm(vector))

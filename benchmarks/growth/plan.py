"""What is measured: sizes from small to large; areas are squares of so many pixels a side at 0.5 µm/px."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes of every axis.

    Attributes
    ----------
    texture_um
        Side of the phantom section that slides are mirrored from.
    pyramid_sides, map_sides, map_genes
        Slides that are rewritten and mapped, and genes of the maps.
    spots, step_spots
        Sections for neighbours, blocks and inference, and those small enough for a training step.
    dim, genes, embed_dim, attention_dim, heads
        Of the network; the default is published but for the genes, which at 500,000 spots would not fit.
    sections, section_um, section_genes
        Cohorts; phantom sections of that side with spots every 200 µm; genes beside the 60 visible ones.
    train_sizes, held_mib, epochs
        Spots, features and genes of the Samples that are trained on; what is held of them; epochs.
    workers, worker_sections, worker_um
        Workers, the sections that they share, and their side.
    """

    texture_um: float = 1600.0
    pyramid_sides: tuple[int, ...] = (2_500, 5_000, 10_000, 20_000)
    map_sides: tuple[int, ...] = (2_500, 5_000, 10_000)
    map_genes: int = 50
    spots: tuple[int, ...] = (1_000, 4_000, 16_000, 64_000, 256_000, 500_000)
    step_spots: tuple[int, ...] = (1_000, 4_000, 16_000, 64_000)
    dim: int = 768
    genes: int = 100
    embed_dim: int = 2048
    attention_dim: int = 1024
    heads: int = 64
    sections: tuple[int, ...] = (1, 4, 16, 64, 250, 500)
    section_um: float = 500.0
    section_genes: int = 40
    train_sizes: tuple[int, int, int] = (300, 256, 300)
    held_mib: int = 16
    epochs: int = 2
    workers: tuple[int, ...] = (1, 2)
    worker_sections: int = 16
    worker_um: float = 2000.0


DEFAULT = Plan()
LARGE = replace(DEFAULT, map_sides=(*DEFAULT.map_sides, 20_000))
SMALL = Plan(
    texture_um=320.0,
    pyramid_sides=(500, 1_000),
    map_sides=(300, 450),
    map_genes=2,
    spots=(200, 400),
    step_spots=(200, 400),
    dim=32,
    genes=8,
    embed_dim=32,
    attention_dim=16,
    heads=2,
    sections=(1, 2),
    section_um=400.0,
    section_genes=2,
    train_sizes=(30, 140, 12),
    held_mib=1,
    epochs=1,
    workers=(1, 2),
    worker_sections=2,
    worker_um=400.0,
)

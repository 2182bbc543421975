"""What a path holds and where it came from, as facts by name; reading, never changing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from miso.encoders import load_encoder
from miso.errors import MisoError, SampleError
from miso.geometry import TileSpec
from miso.maps import open_map
from miso.models import load_checkpoint
from miso.models.bundle import CARD, INDEX, read_bundle
from miso.samples import Sample, open_sample
from miso.samples.sample import MANIFEST
from miso.samples.vendors.open import read_vendor
from miso.samples.vendors.section import VendorOptions, VendorSection
from miso.samples.vendors.st.her2st import find_sections, incomplete_sections
from miso.slides import Slide, open_slide
from miso.slides.brightfield import looks_like_he
from miso.slides.tissue import tissue_mask
from miso.training.folder import RunFolder
from miso.units import disagreement, in_px

Facts = dict[str, str]
TABLES = {".h5ad", ".h5", ".zarr"}


def describe(path: Path, options: VendorOptions) -> Facts:
    """Say what a path holds.

    Raises
    ------
    MisoError
        If it is nothing that MISO knows, or is damaged.
    """
    if not path.exists():
        raise SampleError(f"nothing at {path}")
    for is_it, tell in _KINDS:
        if is_it(path):
            return tell(path)
    if path.is_file() and path.suffix.lower() not in TABLES:
        with open_slide(path) as slide:
            return slide_facts(slide)
    return section_facts(read_vendor(path, options))


def slide_facts(slide: Slide) -> Facts:
    """Describe an open image."""
    facts = {
        "kind": f"slide ({type(slide).__name__.removesuffix('Slide').lower()})",
        "size": in_px(slide.size_px),
        "levels": ", ".join(f"{in_px(lv.size_px)} (÷{lv.downsample:.4g})" for lv in slide.levels),
        "resolution": str(slide.resolution) if slide.has_resolution else "not in the file; pass --mpp",
    }
    if slide.has_resolution:
        facts["tile of 224 px at 0.5 µm/px"] = f"{TileSpec().side_on(slide.mpp):.0f} level-0 px"
        facts["tissue"] = f"{tissue_mask(slide).mask.mean():.0%} of the slide"
    if doubt := looks_like_he(slide):
        facts["doubt"] = doubt
    return facts


def section_facts(section: VendorSection) -> Facts:
    """Describe a vendor's section."""
    spots = section.spots
    unit = "bins" if spots.shape == "square" else "spots"
    depth = np.asarray(spots.counts.sum(axis=1)).ravel()
    facts = {
        "kind": section.layout,
        "name": section.name,
        unit: f"{len(spots)}, {spots.diameter_um:g} µm wide, {spots.pitch_um:g} µm apart",
        "genes": f"{len(spots.genes)}"
        + (f", ids like {spots.gene_ids[0]}" if spots.gene_ids else ", no ids"),
        "counts": f"median {np.median(depth):g} a {unit[:-1]}" if len(depth) else "none",
        "resolution": "; ".join(map(str, section.resolutions)) or "not known; pass --slide-mpp",
    }
    if section.image:
        facts["image"] = str(section.image)
    if section.full_size_px:
        facts["needs an image of"] = in_px(section.full_size_px)
    if section.pictures:
        facts["small pictures"] = ", ".join(f"{p.name} {in_px(p.size_px)}" for p in section.pictures)
    if spots.tables:
        facts["tables"] = ", ".join(f"{name} ({table.shape[1]})" for name, table in spots.tables.items())
    told = [disagreement(section.resolutions[0], other) for other in section.resolutions[1:]]
    facts |= {f"doubt {i}": sentence for i, sentence in enumerate(filter(None, told), 1)}
    return facts | {f"note {i}": note for i, note in enumerate(spots.notes, 1)}


def sample_facts(path: Path) -> Facts:
    """Describe a Sample folder."""
    sample = open_sample(path)
    manifest, settings = sample.manifest, sample.manifest["settings"]
    return {
        "kind": "Sample",
        "name": f"{sample.name}, patient {sample.patient}",
        "spots": f"{sample.adata.n_obs} × {sample.adata.n_vars} genes",
        "encoder": sample.encoder_id,
        "tile": f"{settings['tile']['size_px']} px at {settings['tile']['mpp']:.4g} µm/px",
        "resolution": f"{sample.mpp:.4g} µm/px ({manifest['resolution']['source']})",
        "slide": manifest["slide"]["path"],
        "features": _features(sample),
        "label sets": ", ".join(sample.label_sets) or "none",
        "made": f"{manifest['written']} by miso {manifest['miso_version']}",
        **{f"note {i}": note for i, note in enumerate(manifest["notes"], 1)},
    }


def _features(sample: Sample) -> str:
    spots, patches, dim = sample.patch_features.shape
    return f"{spots} × {patches} patches × {dim}"


def map_facts(path: Path) -> Facts:
    """Describe an expression map."""
    found = open_map(path)
    rows, columns = found.raster.shape
    return {
        "kind": "ExpressionMap",
        "genes": f"{len(found.genes)}: {', '.join(found.genes[:5])}{' …' * (len(found.genes) > 5)}",
        "raster": f"{rows} × {columns} cells of {found.pitch_um:.3g} µm",
        "units": found.units,
        "slide": f"{found.header.slide.name}, {found.header.slide.mpp:.4g} µm/px "
        f"({found.header.slide.mpp_source})",
        **{key: _short(value) for key, value in found.provenance.items()},
    }


def run_facts(path: Path) -> Facts:
    """Describe a run folder."""
    settings = RunFolder(path=path).settings()
    folds = sorted(folder.parent.name for folder in path.glob("repeat_*_fold_*/checkpoint"))
    keys = ("model", "preset", "target", "splits", "seed")
    return {
        "kind": "run of miso train",
        **{key: str(settings[key]) for key in keys if key in settings},
        "folds": ", ".join(folds) or "none finished",
    }


def checkpoint_facts(path: Path) -> Facts:
    """Describe a checkpoint folder."""
    checkpoint = load_checkpoint(path)
    keys = ("encoder", "target", "units", "trained_on", "validated_on", "held_out")
    return {
        "kind": f"checkpoint of the model {checkpoint.kind!r}",
        "genes": str(len(checkpoint.genes)),
        **{key: _short(getattr(checkpoint, key)) for key in keys},
    }


def bundle_facts(path: Path) -> Facts:
    """Describe a shared bundle."""
    bundle = read_bundle(path)
    first, *_ = bundle.checkpoints.values()
    grades = bundle.reliability["grade"].value_counts().sort_index()
    return {
        "kind": f"bundle of {len(bundle.checkpoints)} checkpoint(s) of the model {first.kind!r}",
        "name": bundle.facts.name,
        "licence": bundle.facts.licence,
        "genes": f"{len(first.genes)}; by grade: {', '.join(f'{n} {grade}' for grade, n in grades.items())}",
        **{key: _short(getattr(first, key)) for key in ("encoder", "target", "units")},
        "sections": "not known" if bundle.facts.sections is None else str(bundle.facts.sections),
        "held apart": bundle.facts.held_apart,
    }


def encoder_facts(path: Path) -> Facts:
    """Describe a folder with an encoder's weights."""
    encoder = load_encoder(f"hf:{path}")
    return {
        "kind": f"encoder weights (--encoder hf:{path})",
        "tile": f"{encoder.contract.size_px} px, patches of {encoder.patch_px} px",
        "features": f"{encoder.tile_dim} a tile, {encoder.patch_dim} a patch",
        "id": encoder.id,
    }


def her2st_facts(path: Path) -> Facts:
    """Describe a HER2ST folder."""
    sections = find_sections(path)
    lacking = incomplete_sections(path)
    facts = {
        "kind": "HER2ST folder (miso process-her2st reads it)",
        "sections": ", ".join(section.name for section in sections),
        "patients": ", ".join(sorted({section.patient for section in sections})),
    }
    return facts | {f"{name} is left out": f"no {', '.join(parts)}" for name, parts in lacking.items()}


def cohort_facts(path: Path) -> Facts:
    """Describe a folder of Samples."""
    samples = [open_sample(file.parent) for file in sorted(path.glob(f"*/{MANIFEST}"))]
    return {
        "kind": "folder of Samples (cohort.path of miso train)",
        "samples": ", ".join(sample.name for sample in samples),
        "patients": ", ".join(sorted({sample.patient for sample in samples})),
        "encoders": ", ".join(sorted({sample.encoder_id for sample in samples})),
    }


def _is_map(path: Path) -> bool:
    if not (path / "zarr.json").is_file():
        return False
    try:
        open_map(path)
    except MisoError:
        return False
    return True


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda path: path.is_dir() and all((path / name).exists() for name in names)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 100 else f"{text[:99]}…"


_KINDS: list[tuple[Callable[[Path], bool], Callable[[Path], Facts]]] = [
    (_has(MANIFEST), sample_facts),
    (_has("config.yaml", "splits.json"), run_facts),
    (_has(INDEX, CARD), bundle_facts),
    (_has("model.safetensors", "config.json", "preprocessor_config.json"), encoder_facts),
    (_has("model.safetensors", "config.json"), checkpoint_facts),
    (_has("count-matrices"), her2st_facts),
    (lambda path: path.is_dir() and any(path.glob(f"*/{MANIFEST}")), cohort_facts),
    (_is_map, map_facts),
]

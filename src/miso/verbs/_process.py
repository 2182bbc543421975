"""Processing sections, as the `process-*` commands share it."""

from pathlib import Path
from typing import get_args

from miso.encoders import Encoder
from miso.encoders.catalogue import CATALOGUE
from miso.errors import SampleError
from miso.launch import State
from miso.maps.plot import plot_alignment
from miso.maps.thumbnail import Thumbnail
from miso.samples import Spots
from miso.samples.process import Processed, process_section
from miso.samples.sample import MANIFEST
from miso.samples.vendors.open import read_vendor
from miso.samples.vendors.original.files import is_original
from miso.samples.vendors.original.sample import import_original
from miso.samples.vendors.section import DuplicateGenes, VendorOptions, VendorSection
from miso.slides import Slide, open_slide
from miso.units import in_px
from miso.verbs._process_options import ProcessOptions, one_of
from miso.verbs._process_report import report_sample
from miso.verbs.console import tell, track

ORIGINAL_PATCH_PX = 14
"""Side of a patch of the encoder that the original MISO uses, H0-mini."""


def process_data(
    source: Path,
    image: Path | None,
    out: Path,
    options: ProcessOptions,
    vendor: VendorOptions,
    *,
    name: str = "",
    patient: str = "",
    encoder: Encoder | None = None,
) -> Processed:
    """Process one section of any vendor; the Sample's folder is `out`. An encoder may be loaded already."""
    one_of("--duplicate-genes", vendor.duplicate_genes, get_args(DuplicateGenes))
    if is_original(source):
        return _take_original(source, out, options, name, patient)
    section = read_vendor(source, vendor)
    image = image or section.image
    if image is None:
        raise SampleError(_wants_image(section))
    name = name or out.resolve().name
    return process(section, image, encoder or options.load(), out, options, name, patient or name)


def told(processed: Processed) -> Processed:
    """Say what became of one section, and write its page."""
    tell(f"{processed.sample.name}: {summary(processed)}")
    report_sample(processed.sample)
    return processed


def outcome(processed: Processed) -> tuple[State, str]:
    """Say what became of one section of many."""
    return ("done" if processed.made else "skipped"), summary(processed)


def _take_original(source: Path, out: Path, options: ProcessOptions, name: str, patient: str) -> Processed:
    """Take features that the original MISO made; `--encoder` names what made them."""
    made = not (out / MANIFEST).is_file()
    sample = import_original(
        source,
        out,
        encoder=options.encoder,
        tile_px=options.ingest.tile_px,
        patch_px=CATALOGUE[options.encoder].patch_px if options.encoder in CATALOGUE else ORIGINAL_PATCH_PX,
        slide_mpp=options.ingest.slide_mpp,
        name=name,
        patient=patient,
    )
    tell(f"{sample.name}: features taken as they are")
    return Processed(sample=sample, made=made)


def process(
    section: VendorSection,
    image: Path,
    encoder: Encoder,
    out: Path,
    options: ProcessOptions,
    name: str,
    patient: str,
) -> Processed:
    """Process a section whose parts are known."""
    with open_slide(image) as slide:
        return process_section(
            section,
            slide,
            encoder,
            out,
            name=name,
            patient=patient,
            options=options.ingest,
            stain=options.stain,
            knn=options.knn,
            draw_alignment=_draw_alignment,
            track=track,
            tell=tell,
        )


def summary(processed: Processed) -> str:
    """Say what a Sample is and where it lies."""
    sample = processed.sample
    if not processed.made:
        return f"already there: {sample.path}"
    resolution = sample.manifest["resolution"]
    facts = (
        f"{sample.manifest['layout']}; {sample.adata.n_obs} spots, {sample.adata.n_vars} genes, "
        f"{resolution['mpp']:.4g} µm/px ({resolution['source']})"
    )
    return f"{'; '.join([facts, *sample.manifest['notes']])} → {sample.path}"


def _wants_image(section: VendorSection) -> str:
    size = section.full_size_px
    which = "the full-resolution image" if size is None else f"the image of {in_px(size)}"
    return (
        f"{section.layout} {section.name!r} has {len(section.spots)} spots but not {which} that they were "
        "placed on; pass it as --path-slide"
    )


def _draw_alignment(out: Path, spots: Spots, slide: Slide) -> None:
    plot_alignment(
        spots.center_xy,
        spots.diameter_um / slide.mpp,
        Thumbnail.of(slide),
        out,
        mpp=slide.mpp,
        title=slide.path.name,
        subtitle=str(slide.resolution),
    )

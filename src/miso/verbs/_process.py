"""Processing sections, as the `process-*` commands share it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import get_args

from miso.encoders import Encoder, load_encoder
from miso.encoders.catalogue import CATALOGUE
from miso.encoders.encoder import Precision
from miso.encoders.precision import with_precision
from miso.errors import ConfigError, SampleError
from miso.geometry import PatchGrid, TileSpec
from miso.launch import Outcome, RunReport, map_units, write_path
from miso.launch.units import State
from miso.maps.plot import plot_alignment
from miso.maps.thumbnail import Thumbnail
from miso.registry import unknown
from miso.samples import Spots
from miso.samples.ingest import IngestOptions, OffImage
from miso.samples.process import Processed, process_section
from miso.samples.sample import MANIFEST
from miso.samples.vendors.open import read_vendor
from miso.samples.vendors.original.files import is_original
from miso.samples.vendors.original.sample import import_original
from miso.samples.vendors.section import DuplicateGenes, VendorOptions, VendorSection
from miso.samples.vendors.st.her2st import (
    SectionFiles,
    find_sections,
    incomplete_sections,
    read_section,
)
from miso.slides import Slide, open_slide
from miso.slides.stain_norm import StainChange, make_stain_transform
from miso.slides.stain_reference import METHODS
from miso.training.device import choose_device
from miso.units import PLAUSIBLE_MPP, in_px, is_plausible_mpp
from miso.verbs._process_report import report_cohort, report_sample
from miso.verbs.console import tell, track

ORIGINAL_PATCH_PX = 14
"""Side of a patch of the encoder that the original MISO uses, H0-mini."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """What the `process-*` commands say about encoder, tiles and image."""

    encoder: str
    precision: str = "auto"
    device: str = "auto"
    knn: int = 37
    ingest: IngestOptions = field(default_factory=IngestOptions)
    stain_norm: str = "none"
    stain_reference: Path | None = None
    stain_augment: int | None = None

    def __post_init__(self) -> None:
        ingest = self.ingest
        if self.knn < 1 or ingest.tile_px < 1:
            raise ConfigError(
                f"--knn and --tile-size must be at least 1, not {self.knn} and {ingest.tile_px}"
            )
        if not is_plausible_mpp(ingest.mpp):
            raise ConfigError(
                f"--mpp {ingest.mpp:g}: tiles are read at {PLAUSIBLE_MPP[0]:g} to {PLAUSIBLE_MPP[1]:g} µm/px"
            )
        one_of("--off-image", ingest.off_image, get_args(OffImage))
        one_of("--precision", self.precision, get_args(Precision))
        one_of("--stain-norm", self.stain_norm, ("none", *METHODS))

    def load(self) -> Encoder:
        """Load the encoder onto the device, and check that its patches divide the tile."""
        encoder = load_encoder(self.encoder)
        self._tell_native_tile()
        tile = TileSpec(size_px=self.ingest.tile_px, mpp=self.ingest.mpp)
        try:
            PatchGrid(tile=tile, patch_px=encoder.patch_px)
        except ValueError as err:
            raise ConfigError(f"--tile-size {self.ingest.tile_px}: {err}") from err
        encoder.module.to(choose_device(self.device))
        return with_precision(encoder, self.precision)  # type: ignore[arg-type]  # checked above

    def _tell_native_tile(self) -> None:
        entry, ingest = CATALOGUE.get(self.encoder.partition(":")[0]), self.ingest
        if entry and (ingest.tile_px, ingest.mpp) != (entry.size_px, entry.native_mpp):
            at = f"at {ingest.mpp:g} µm/px" if ingest.level is None else f"of level {ingest.level}"
            tell(
                f"{self.encoder} was made for tiles of {entry.size_px} px at {entry.native_mpp:g} µm/px; "
                f"these are {ingest.tile_px} px {at}"
            )

    def stain(self, slide: Slide) -> StainChange:
        """Say how the stain of a slide's tiles is changed."""
        return make_stain_transform(slide, self.stain_norm, self.stain_reference, self.stain_augment)


def process_data(
    source: Path,
    image: Path | None,
    out: Path,
    options: ProcessOptions,
    vendor: VendorOptions,
    *,
    name: str = "",
    patient: str = "",
) -> Processed:
    """Process one section of any vendor; the Sample's folder is `out`."""
    one_of("--duplicate-genes", vendor.duplicate_genes, get_args(DuplicateGenes))
    if is_original(source):
        return _take_original(source, out, options, name, patient)
    section = read_vendor(source, vendor)
    image = image or section.image
    if image is None:
        raise SampleError(_wants_image(section))
    name = name or out.resolve().name
    processed = _process(section, image, options.load(), out, options, name, patient or name)
    tell(f"{name}: {_summary(processed)}")
    report_sample(processed.sample)
    return processed


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
    processed = Processed(sample=sample, made=made)
    tell(f"{sample.name}: features taken as they are; {_summary(processed)}")
    report_sample(sample)
    return processed


def process_her2st_folder(folder: Path, names: list[str], options: ProcessOptions) -> RunReport:
    """Process sections of a HER2ST folder; the report is kept beside the Samples when one failed."""
    sections = {files.name: files for files in find_sections(folder)}
    lacking = incomplete_sections(folder)
    for name in names:
        if name in lacking:
            raise SampleError(f"section {name!r} of {folder} has no {', no '.join(lacking[name])}")
        if name not in sections:
            raise SampleError(unknown("section", name, list(sections)))
    for name in [] if names else lacking:
        tell(f"{name}: left out, it has no {', no '.join(lacking[name])}")
    encoder = options.load()
    out = folder / "processed_data"

    def work(name: str) -> tuple[State, str]:
        return _process_her2st(sections[name], encoder, options, out / name)

    report = map_units(names or list(sections), work, _teller())
    _keep_report(report, out)
    report_cohort(folder, out, report, list(sections), lacking)
    return report


def one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that an option does not know."""
    if value not in known:
        raise ConfigError(f"{option} is {' or '.join(known)}, not {value!r}")


def _process_her2st(
    files: SectionFiles, encoder: Encoder, options: ProcessOptions, out: Path
) -> tuple[State, str]:
    section = read_section(files)
    processed = _process(section, files.image, encoder, out, options, files.name, files.patient)
    return ("done" if processed.made else "skipped"), _summary(processed)


def _process(
    section: VendorSection,
    image: Path,
    encoder: Encoder,
    out: Path,
    options: ProcessOptions,
    name: str,
    patient: str,
) -> Processed:
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


def _summary(processed: Processed) -> str:
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


def _teller() -> Callable[[Outcome], None]:
    def say(outcome: Outcome) -> None:
        failed = "FAILED " if outcome.state == "failed" else ""
        tell(f"{outcome.unit}: {failed}{outcome.message} ({outcome.seconds:.1f} s)")

    return say


def _keep_report(report: RunReport, out: Path) -> None:
    failed = report.having("failed")
    if not failed:
        return
    if len(failed) == len(report.outcomes):
        if len(failed) == 1:
            return
        tell(f"nothing could be processed: {len(failed)} of {len(failed)} sections failed")
        return
    with write_path(out / "run_report.json") as temporary:
        temporary.write_text(
            json.dumps([asdict(outcome) for outcome in report.outcomes], indent=1, ensure_ascii=False)
        )
    names = ",".join(outcome.unit for outcome in failed)
    tell(
        f"{len(failed)} of {len(report.outcomes)} sections failed; see {out / 'run_report.json'}; "
        f"again with --samples {names}"
    )

"""Processing a batch of sections, as the `process-*` commands share it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from miso.encoders import Encoder, load_encoder
from miso.errors import ConfigError, SampleError
from miso.geometry import PatchGrid, TileSpec
from miso.launch import Outcome, RunReport, map_units, write_path
from miso.launch.units import State
from miso.maps.plot import plot_alignment
from miso.maps.thumbnail import Thumbnail
from miso.registry import unknown
from miso.samples import Spots
from miso.samples.process import process_section
from miso.samples.vendors.her2st import SectionFiles, find_sections, read_section
from miso.slides import Slide, open_slide
from miso.training.device import choose_device
from miso.units import PLAUSIBLE_MPP, is_plausible_mpp
from miso.verbs.console import tell, track


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """What the `process-*` commands say about tiles and encoder."""

    encoder: str
    mpp: float
    level: int | None
    tile_size: int
    knn: int
    device: str

    def load(self) -> Encoder:
        """Load the encoder onto the device, and check that its patches divide the tile."""
        if self.knn < 1 or self.tile_size < 1:
            raise ConfigError(
                f"--knn and --tile-size must be at least 1, not {self.knn} and {self.tile_size}"
            )
        if not is_plausible_mpp(self.mpp):
            raise ConfigError(
                f"--mpp {self.mpp:g}: tiles are read at {PLAUSIBLE_MPP[0]:g} to {PLAUSIBLE_MPP[1]:g} µm/px"
            )
        encoder = load_encoder(self.encoder)
        try:
            PatchGrid(tile=TileSpec(size_px=self.tile_size, mpp=self.mpp), patch_px=encoder.patch_px)
        except ValueError as err:
            raise ConfigError(f"--tile-size {self.tile_size}: {err}") from err
        encoder.module.to(choose_device(self.device))
        return encoder

    def tile_for(self, slide: Slide) -> TileSpec:
        """Return the tile, at a level's own resolution where one was asked for."""
        mpp = self.mpp if self.level is None else slide.level_mpp(self.level)
        return TileSpec(size_px=self.tile_size, mpp=mpp)


def process_her2st_folder(folder: Path, names: list[str], options: EncoderOptions) -> RunReport:
    """Process sections of a HER2ST folder; the report is kept beside the Samples when one failed."""
    sections = {files.name: files for files in find_sections(folder)}
    for name in names:
        if name not in sections:
            raise SampleError(unknown("section", name, list(sections)))
    encoder = options.load()
    out = folder / "processed_data"

    def work(name: str) -> tuple[State, str]:
        return _process_one(sections[name], encoder, options, out / name)

    report = map_units(names or list(sections), work, _teller())
    _keep_report(report, out)
    return report


def _process_one(
    files: SectionFiles, encoder: Encoder, options: EncoderOptions, out: Path
) -> tuple[State, str]:
    spots, resolution = read_section(files)
    with open_slide(files.image, resolution) as slide:
        sample, made = process_section(
            spots,
            slide,
            encoder,
            out,
            name=files.name,
            patient=files.patient,
            inputs=[files.counts, files.selection, files.image],
            tile=options.tile_for(slide),
            knn=options.knn,
            draw_alignment=_draw_alignment,
            track=track,
        )
    notes = "; ".join([f"{len(spots)} spots, {len(spots.genes)} genes, {resolution}", *spots.notes])
    return (
        "done" if made else "skipped"
    ), f"{notes} → {sample.path}" if made else f"already there: {sample.path}"


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

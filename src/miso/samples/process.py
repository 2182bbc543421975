"""From a vendor's section, a Slide and an Encoder to a Sample folder: whole or absent, kept when the same."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from miso.encoders import Encoder
from miso.encoders.precision import check_faithful
from miso.errors import MisoError, SampleError
from miso.launch.progress import Track, silent
from miso.launch.provenance import fingerprint
from miso.samples.extract import Features, extract_features, sample_tiles
from miso.samples.guard import check_on_tissue
from miso.samples.ingest import Fitted, IngestOptions, fit_to_slide
from miso.samples.neighbors import DEFAULT_K, nearest_spots
from miso.samples.sample import Sample, open_sample
from miso.samples.spots import Spots
from miso.samples.vendors.section import VendorSection
from miso.samples.write import annotate, finish_sample, is_already_there, make_manifest
from miso.slides import Slide
from miso.slides.quality import SlideQuality, slide_quality, spot_quality
from miso.slides.restained import RestainedSlide
from miso.slides.stain_norm import StainChange
from miso.storage.claim import claim
from miso.untrusted.names import is_file_name

Picture = Callable[[Path, Spots, Slide], None]
"""Draws spots on their slide into a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """A Sample, and whether it was made now (rather than found there)."""

    sample: Sample
    made: bool


def process_section(
    section: VendorSection,
    slide: Slide,
    encoder: Encoder,
    out: Path,
    *,
    name: str,
    patient: str,
    options: IngestOptions | None = None,
    stain: Callable[[Slide], StainChange] | None = None,
    knn: int = DEFAULT_K,
    draw_alignment: Picture | None = None,
    track: Track = silent,
    tell: Callable[[str], None] = lambda line: None,
) -> Processed:
    """Write a Sample folder.

    Parameters
    ----------
    slide
        The section's full-resolution image; it gets its µm per pixel here.
    out
        The Sample folder. The same Sample already there is kept; another one is never overwritten.
    options
        How tiles are cut and what the user knows better; the default is 224 px at 0.5 µm/px.
    stain
        Says how the tiles' stain is changed before they are encoded, once the slide's resolution is known.
    draw_alignment
        Draws `alignment.png`: whether spots lie on tissue is seen at a glance.
    tell
        Hears how faithful an encoder in 8-bit integers is on this slide.

    Raises
    ------
    SlideError
        If nothing says the slide's resolution.
    AlignmentError
        If section and slide are not of one another.
    SampleError
        If the folder holds something else.
    Busy
        If another process is making this Sample.
    """
    if not is_file_name(name):
        raise SampleError(f"no file can be called {ascii(name)[:60]}; give the section another --name")
    options = options or IngestOptions()
    fitted = fit_to_slide(section, slide, options)
    change = stain(slide) if stain else StainChange()
    settings = _settings(fitted, slide, encoder, knn, options.level, change)

    def found() -> Processed | None:
        there = is_already_there(out, settings, name=name, patient=patient)
        return Processed(sample=open_sample(out), made=False) if there else None

    if there := found():
        return there
    with claim(out):
        if there := found():  # made by another process since
            return there
        quality = slide_quality(slide)
        doubts = list(fitted.warnings)
        if not options.trust_alignment:
            doubts += check_on_tissue(fitted.section, slide, quality.tissue)
        about = {
            "name": name,
            "patient": patient,
            "layout": section.layout,
            "settings": settings,
            "resolution": {"mpp": slide.mpp, "source": slide.resolution.source},
            "slide": {"path": str(slide.path.resolve()), "size_px": list(slide.size_px)},
            "precision": encoder.arithmetic,
            "notes": doubts,
        }
        seen = RestainedSlide(slide, change) if change != StainChange() else slide
        making = _Making(out=out, about=about, fitted=fitted, level=options.level, knn=knn, track=track)
        sample = making.make(slide, seen, encoder, quality, draw_alignment, tell)
    return Processed(sample=sample, made=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    """A Sample in the making: where, of what, and how."""

    out: Path
    about: dict[str, Any]
    fitted: Fitted
    level: int | None
    knn: int
    track: Track

    def make(
        self,
        slide: Slide,
        seen: Slide,
        encoder: Encoder,
        quality: SlideQuality,
        draw_alignment: Picture | None,
        tell: Callable[[str], None],
    ) -> Sample:
        """Write the Sample beside its place, and rename it; `seen` is the slide in its stain to be."""
        fitted, partial = self.fitted, self.out.with_name(f".{self.out.name}.partial")
        key = hashlib.sha256(json.dumps(self.about["settings"], sort_keys=True).encode()).hexdigest()
        spots = fitted.section.spots
        try:
            cosine = _int8_cosine(seen, encoder, fitted, tell)
            features = extract_features(
                seen, encoder, spots.center_xy, fitted.tile, partial, key, self.track, self.level
            )
        except MisoError:  # the input is at fault, and mended input makes other features
            shutil.rmtree(partial, ignore_errors=True)
            raise
        about = self.about if cosine is None else {**self.about, "int8_cosine": cosine}
        manifest = make_manifest(spots, about)
        _tables(fitted, slide, quality, features, self.knn, manifest).write_h5ad(partial / "adata.h5ad")
        if draw_alignment is not None:
            draw_alignment(partial / "alignment.png", spots, slide)
        for file in (features.tiles, features.stain, features.journal):
            file.unlink()  # last: until here a rerun computes nothing again
        return finish_sample(partial, self.out, manifest)


def _tables(
    fitted: Fitted,
    slide: Slide,
    quality: SlideQuality,
    features: Features,
    knn: int,
    manifest: dict[str, Any],
) -> anndata.AnnData:
    spots = fitted.section.spots
    tables = {"tile_features": np.load(features.tiles), "stain_features": np.load(features.stain)}
    adata = annotate(spots, tables, nearest_spots(spots.center_xy * slide.mpp, knn), manifest)
    about_spots = spot_quality(slide, spots.center_xy, fitted.tile.side_on(slide.mpp), quality=quality)
    adata.obs[list(about_spots.columns)] = about_spots.set_axis(adata.obs_names)
    return adata


def _int8_cosine(slide: Slide, encoder: Encoder, fitted: Fitted, tell: Callable[[str], None]) -> float | None:
    """Mean cosine of 8-bit patch features to exact ones on a few tiles; None of other encoders."""
    if encoder.precision != "int8":
        return None
    tiles = sample_tiles(slide, fitted.section.spots.center_xy, fitted.tile)
    return check_faithful(encoder, tiles, tell)


def _settings(
    fitted: Fitted, slide: Slide, encoder: Encoder, knn: int, level: int | None, change: StainChange
) -> dict[str, Any]:
    tile = fitted.tile
    return {
        "encoder": encoder.id,
        "patch_px": encoder.patch_px,
        "tile": {"size_px": tile.size_px, "mpp": tile.mpp, **({} if level is None else {"level": level})},
        "slide_mpp": slide.mpp,
        "knn": knn,
        "spots": len(fitted.section.spots),
        "genes": len(fitted.section.spots.genes),
        "stain": change.provenance,
        "inputs": _fingerprints(fitted.section.inputs, slide.path),
    }


def _fingerprints(paths: list[Path], slide: Path) -> dict[str, str]:
    """Fingerprints by name, with the folder's name before it where two files share theirs.

    The slide's is always under its bare name, by which `slide_fingerprint` finds it.
    """
    unique = [path for path in dict.fromkeys(paths) if path != slide]
    names = [slide.name, *(path.name for path in unique)]
    keys = {
        path: path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}"
        for path in unique
    }
    return {slide.name: fingerprint(slide), **{key: fingerprint(path) for path, key in keys.items()}}

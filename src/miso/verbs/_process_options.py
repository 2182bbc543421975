"""What the `process-*` commands say about encoder, tiles, image and stain; checked before any work."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from miso.encoders import Encoder, load_encoder
from miso.encoders.catalogue import CATALOGUE
from miso.encoders.encoder import Precision
from miso.encoders.precision import with_precision
from miso.errors import ConfigError
from miso.geometry import PatchGrid, TileSpec
from miso.samples.ingest import IngestOptions, OffImage
from miso.slides import Slide
from miso.slides.stain_norm import StainChange, make_stain_transform
from miso.slides.stain_reference import METHODS
from miso.training.device import choose_device
from miso.units import PLAUSIBLE_MPP, is_plausible_mpp
from miso.verbs.console import tell


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


def one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that an option does not know."""
    if value not in known:
        raise ConfigError(f"{option} is {' or '.join(known)}, not {value!r}")

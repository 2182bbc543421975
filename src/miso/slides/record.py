"""What a pyramid that MISO wrote says of itself, as JSON in its TIFF description; resolutions in µm/px."""

import json
from typing import Any

from miso.units import Resolution, is_plausible_mpp
from miso.untrusted.documents import parse_json

KEY = "miso_rewrite_slide"
SAME_MPP = 0.01
"""Tags that differ by more from the record were written later, by something that resized the image."""


def write_record(record: dict[str, Any]) -> str:
    """Word a record as a TIFF description (plain ASCII)."""
    return json.dumps({KEY: record})


def read_record(description: str) -> dict[str, Any] | None:
    """Return the record in a TIFF description, or None where there is none."""
    try:
        content = parse_json(description)
    except ValueError:
        return None
    record = content.get(KEY) if isinstance(content, dict) else None
    return record if isinstance(record, dict) else None


def recorded_resolution(description: str, tagged_mpp: float) -> Resolution | None:
    """µm per pixel as they were known on writing, with their source, if the tags still agree."""
    resolution = (read_record(description) or {}).get("resolution")
    if not isinstance(resolution, dict) or not isinstance(mpp := resolution.get("mpp"), int | float):
        return None
    if not is_plausible_mpp(mpp) or not abs(mpp - tagged_mpp) <= SAME_MPP * mpp:
        return None
    return Resolution(mpp=float(mpp), source=f"{resolution.get('source', 'unknown')}, as rewritten")

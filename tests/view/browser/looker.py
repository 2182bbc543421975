"""A page in a browser that is looked at: its pixels, what it said on its console, what it asked for."""

import time
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:  # a test without playwright is skipped, and its module is imported all the same
    from playwright.sync_api import Page

RGB = NDArray[np.uint8]


@dataclass(slots=True, kw_only=True)
class Looker:
    """A page that is looked at: what it said on its console, what it asked for, and its pixels."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, url: str) -> "Looker":
        """Open an address, and wait until the viewer is there."""
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready=yes]", state="attached")
        self.still()
        return self

    def still(self) -> RGB:
        """Wait until the picture no longer changes; return it, (height, width, 3)."""
        last = b""
        for _ in range(60):
            time.sleep(0.05)
            shot = self.page.screenshot()
            if shot == last:
                break
            last = shot
        return np.asarray(Image.open(BytesIO(shot)).convert("RGB"))

    def box(self, pane: str = "a") -> tuple[float, float, float, float]:
        """Say where a pane lies: left, top, width and height."""
        found = self.page.locator(f"[data-pane={pane}]").bounding_box()
        assert found is not None
        return found["x"], found["y"], found["width"], found["height"]

    def middle(self, pane: str = "a") -> tuple[float, float]:
        """Say where the middle of a pane lies in the picture, in px."""
        left, top, width, height = self.box(pane)
        return left + width / 2, top + height / 2


def near(image: RGB, x: float, y: float, color: tuple[float, ...], within: float = 3) -> bool:
    """Say whether a pixel has a colour, each channel within so much."""
    return bool(np.abs(image[int(y), int(x)].astype(float) - color).max() <= within)

"""Pictures that were drawn and saved are forgotten."""

import numpy as np

from miso.launch.memory import resident_bytes
from miso.maps.plot import plot_alignment
from miso.maps.thumbnail import Thumbnail


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    picture = Thumbnail(rgb=np.full((900, 900, 3), 200, np.uint8), slide_size_px=(900, 900))
    center_xy = np.array([[300.0, 300.0]])

    def draw(times):
        for _ in range(times):
            plot_alignment(center_xy, 50, picture, tmp_path / "a.png", mpp=0.5, title="a", subtitle="b")
        return resident_bytes()

    draw(2)
    before = draw(4)
    assert draw(8) - before < 40 * 2**20  # some 10 MB a picture otherwise

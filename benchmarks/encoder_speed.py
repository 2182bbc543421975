"""Tiles per second of an encoder alone, on random tiles in memory.

.venv/bin/python benchmarks/encoder_speed.py --encoder stain
"""

import argparse
import time

import torch

from miso.encoders import load_encoder
from miso.verbs.console import show_table

SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="stain")
    parser.add_argument("--tile-size", type=int, default=224)
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)
    rows = []
    for batch in (1, 8, 16, 32):
        tiles = torch.randint(0, 256, (batch, args.tile_size, args.tile_size, 3), dtype=torch.uint8)
        encoder.encode(tiles)
        done, start = 0, time.monotonic()
        while time.monotonic() - start < SECONDS:
            encoder.encode(tiles)
            done += batch
        rows.append((str(batch), f"{done / (time.monotonic() - start):.0f}"))
    show_table(f"{encoder.id}, {torch.get_num_threads()} threads", ["batch", "tiles/s"], rows)


if __name__ == "__main__":
    main()

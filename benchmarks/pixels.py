"""How many images a second training gets, by where they are between two epochs.

    python benchmarks/pixels.py [--images 1500] [--side 224]

Photographs of noise and shapes, 500 x 375 pixels in JPEG, cut to --side. Each way is measured twice in turn, on images that the
system has read before: all of them decoded anew, decoded and written to the cache (a first epoch), read from the cache, from
memory, and held. The consumer does nothing, so with a model that computes on the same cores it is less. Beside the images a
second stands the time of the processor for each in microseconds, which other programs on the machine hardly change.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1]))

from dataclasses import replace

from edgevit.data.dataset import Images
from edgevit.data.folder import of_files
from edgevit.training import decoded, pixels
from edgevit.training.pixels import Pixels
from edgevit.types import Preprocess, silent
from edgevit.versions import machine

BATCH = 64
ROUNDS = 2


def photographs(root: Path, count: int) -> Images:
    random = np.random.default_rng(0)
    files = [root / f"{i:05d}.jpg" for i in range(count)]
    for file in files:
        shapes = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375))
        noise = Image.fromarray(random.integers(0, 256, (375, 500, 3), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(1))
        Image.blend(shapes, noise, 0.25).save(file, quality=90)
    return of_files([file.name for file in files], np.zeros(count, np.int64), files)


def rate(found: Pixels, epoch: int) -> tuple[float, float]:
    """Images a second, and microseconds of the processor for each."""
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(epoch))
    began, worked = time.perf_counter(), time.process_time()
    seen = sum(len(classes) for _, classes in found.batches(order.split(BATCH)))
    return seen / (time.perf_counter() - began), 1e6 * (time.process_time() - worked) / seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--side", type=int, default=224)
    asked = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    steps = Preprocess((round(asked.side * 256 / 224),) * 2, (asked.side, asked.side))
    with tempfile.TemporaryDirectory() as scratch:
        images = photographs(Path(scratch), asked.images)
        size = sum(file.stat().st_size for file in Path(scratch).iterdir()) / asked.images
        sharded = replace(images, groups=np.zeros(asked.images, np.int64))  # nothing is read before it is due
        print(f"{machine()}; {asked.images} JPEGs of {size / 1e3:.0f} kB, batches of {BATCH}")
        for number in range(ROUNDS):
            os.environ["EDGEVIT_CACHE"] = str(Path(scratch) / f"cache-{number}")
            ways = by_way(images, sharded, steps)
            for name, found in ways.items():
                print("{:20} {:8,.0f}/s {:8,.0f} us".format(name, *found()), flush=True)


def by_way(images: Images, sharded: Images, steps: Preprocess) -> dict[str, Callable[[], tuple[float, float]]]:
    def measured(which: Images, held: int, memory: int, gigabytes: str, epoch: int) -> tuple[float, float]:
        pixels.HELD_BYTES, decoded.IN_MEMORY, os.environ["EDGEVIT_PIXELS_GB"] = held, memory, gigabytes
        found = Pixels(which, steps, "refuse", silent)
        return [rate(found, n) for n in range(epoch)][-1]

    large = 1 << 40
    return {
        "decoded anew": lambda: measured(sharded, 0, 0, "0", 1),
        "decoded and written": lambda: measured(sharded, 0, 0, "50", 1),
        "from the cache": lambda: measured(sharded, 0, 0, "50", 1),
        "from memory": lambda: measured(sharded, 0, large, "50", 2),
        "held": lambda: measured(images, large, large, "50", 1),
    }


if __name__ == "__main__":
    main()

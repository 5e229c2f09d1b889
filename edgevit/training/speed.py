"""How much of what the machine can do a training makes use of: images and operations in a second, and the wait for data."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field

import torch

from edgevit.types import ViTConfig
from edgevit.vit.model import ViT

BACKWARD = 2
"""Operations of the way back, in those of the way there: a product for the inputs and one for the weights."""
SIDE = {"cuda": 8192, "cpu": 1024}
"""Of the matrices by which the rate of a device is measured; large enough that nothing but the products counts."""
MEASURED = 0.1
"""Seconds."""


def flops(config: ViTConfig) -> int:
    """Floating-point operations of one image in a step, there and back: two for each multiplication with its addition.

    Counted in the products alone (linear maps, convolutions, attention), as model flops utilisation does. What is computed
    twice to save memory does not count.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = ViT(config)
        images = torch.empty(1, 3, *config.image_size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(images)
    return (1 + BACKWARD) * counter.get_total_flops()


@functools.cache
def matrix_rate(device: torch.device, precision: torch.dtype) -> float:
    """Floating-point operations in a second of the product of two large matrices, measured now."""
    side = SIDE.get(device.type, SIDE["cpu"])
    a, b = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
    a @ b
    wait(device)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < MEASURED:
        for _ in range(4):
            a @ b
        wait(device)
        done += 4
    return done * 2 * side**3 / (time.perf_counter() - started)


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device: torch.device) -> int | None:
    """The most memory of the GPU that this process has held; None where there is no GPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


@dataclass
class Clock:
    """One epoch's time on the device: `images` of all workers, seen in so many `seconds`, of which it `waited` for data."""

    device: torch.device
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def stop(self) -> None:
        wait(self.device)
        self.seconds = time.perf_counter() - self.began

    def figures(self, images: int, waited: float, per_image: int, rate: float) -> dict[str, float]:
        """`rate`: what all workers' devices could do together, in operations in a second."""
        speed = images / max(self.seconds, 1e-9)
        found = {"seconds": self.seconds, "images_per_second": speed, "data_wait": waited / max(self.seconds, 1e-9)}
        found["mfu"] = speed * per_image / rate
        peak = peak_bytes(self.device)
        return found if peak is None else {**found, "peak_gb": peak / 1e9}

"""Measurements that were never made: times of a law that is known."""

from __future__ import annotations

import random

from edgevit.planning.costs import features, predicted, sizes
from edgevit.planning.grid import Grid, candidates, chosen
from edgevit.types import Candidate, Design, Measured

WORK = features(candidates(Grid(kinds=(("tflite", "fp32"),)))[0].shape)
LAW = dict(zip(WORK, (0.02, 0.04, 1.5, 0.3, 0.8, 0.1, 0.2, 0.3, 0.7, 0.03, 0.05, 0.2), strict=True))
FILE = {"weights of Linears": 4e6, "other parameters": 4e6, "blocks": 3000.0, "one file": 20_000.0}


def timed(one: Candidate, noise: float = 0.0, device: str = "local") -> Measured:
    """What the law says of a candidate; `noise` is the standard deviation of a factor that hangs on the candidate alone."""
    time = predicted(LAW, one.shape) * (1 + random.Random(one.name).gauss(0, noise))
    return Measured(one, device, time, time, time, round(predicted(FILE, one.shape, sizes)), 3)


def design(measure: int = 40, held_out: int = 30) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    return chosen(candidates(Grid(kinds=(("tflite", "fp32"),))), Design(measure, held_out))

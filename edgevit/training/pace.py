"""How far a training is, for who watches: the time that is left of all of it, the loss so far, images per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgevit.types import Label, Progress, mark

WORK = "training"
FRESH = 1.0
"""Seconds for which what was said of the loss is good enough: asking a GPU for it makes the GPU wait."""
FORWARD = 1 / 3
"""Of what a training step takes for an image, what an evaluation takes, before one was measured (arXiv 2001.08361, table 1)."""


@dataclass(frozen=True)
class Way:
    """All that a training has before it: epochs, batches in each and images in those, and held-out images after each."""

    epochs: int
    batches: int
    images: int
    held_out: int


class Pace:
    """Called as a training goes on, after `done` epochs. The clock is in seconds.

    What comes behind the batches of an epoch, the evaluation and that the model is kept, counts as one step more. What that takes
    was measured in the epoch before, and is estimated before there was one.
    """

    def __init__(self, progress: Progress, way: Way, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress, self.way, self.clock = progress, way, clock
        self.steady: float | None = None
        """Seconds of a batch in the last epoch, and below those of what came behind."""
        self.behind: float | None = None
        self.result = ""
        """Of the last epoch, in words."""
        self.begin(done)

    def begin(self, epoch: int, before: int = 0) -> None:
        """The epoch of this number, from 1, begins; or goes on, with so many of its batches done `before`."""
        self.epoch, self.number, self.before, self.images, self.ended = epoch, before, before, 0, False
        self.began = self.clock()
        self.over: float | None = None
        """When its batches were over."""
        self.told, self.loss = self.began - FRESH, ""

    def batch(self, images: int, total: Callable[[], float]) -> None:
        """A batch of so many images is done; `total` tells the sum of their losses in this epoch, and is not always asked."""
        self.number, self.images, now = self.number + 1, self.images + images, self.clock()
        if self.number == self.way.batches:
            self.over = now
        if now - self.told >= FRESH or self.over:
            self.told, self.loss = now, f", loss {total() / self.images:.4f}"
        self._tell(self.number, f"{self.loss}{self.result}{self._speed(now)}")

    def evaluating(self) -> None:
        self.over = self.over or self.clock()
        self._tell(self.way.batches, f"{self.loss}{self.result}, evaluating")

    def end(self, metrics: Mapping[str, float]) -> None:
        """The epoch is over and kept, and this is what came out."""
        now = self.clock()
        self.over, self.ended = self.over or (now if self.number else self.began), True
        made = self.number - self.before
        self.steady = (self.over - self.began) / made if made else self.steady
        self.behind, self.result = now - self.over, _result(metrics)
        loss = f", loss {metrics['loss']:.4f}" if "loss" in metrics else ""
        left = self.left(now)
        rest = f"; {span(left)} left" if left else ""
        words = f"{loss}{self.result}{self._speed(now)}, {span(now - self.began)}{rest}"
        mark(self.progress, f"epoch {self.epoch}/{self.way.epochs}: {words[2:]}")
        self._tell(self.way.batches + 1, f"{self.loss}{self.result}")

    def left(self, now: float) -> float | None:
        """Seconds until all is done; None before there was a batch."""
        batch = self._batch(now)
        if batch is None:
            return None
        way = self.way
        behind = FORWARD * batch * way.held_out * way.batches / way.images if self.behind is None else self.behind
        later = (way.epochs - self.epoch) * (way.batches * batch + behind)
        if self.ended:
            return later
        waited = now - self.over if self.over else 0.0
        return later + (way.batches - self.number) * batch + max(0.0, behind - waited)

    def _batch(self, now: float) -> float | None:
        """Seconds of one: over the last epoch and what is done of this. The first of all pays for what is set up once."""
        made = self.number - self.before
        if not made or self.ended:
            return self.steady
        spent = (self.over or now) - self.began
        if self.steady is None:
            return spent / made
        return (self.steady * self.way.batches + spent) / (self.way.batches + made)

    def _speed(self, now: float) -> str:
        spent = (self.over or now) - self.began
        return f", {self.images / spent:,.0f} images/s" if spent > 0 and self.images else ""

    def _tell(self, number: int, words: str) -> None:
        steps = self.way.batches + 1
        label = Label(WORK, f"epoch {self.epoch}/{self.way.epochs}{words}", self.left(self.clock()))
        self.progress(str(label), max(0, self.epoch - 1) * steps + number * (self.epoch > 0), self.way.epochs * steps)


def _result(metrics: Mapping[str, float]) -> str:
    """The held-out result of an epoch."""
    if "val_top1" in metrics:
        return f", top-1 {100 * metrics['val_top1']:.2f} %"
    return f", held-out loss {metrics['val_loss']:.4f}" if "val_loss" in metrics else ""


def span(seconds: float) -> str:
    """A time as people say it: 8 s, 3 min, 2 h 05 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"

"""One pass over the images: batches, steps, what is said and kept meanwhile; and the validation behind it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgevit.data.augment import AUGMENTS, augment
from edgevit.data.drawing import Draws, draws
from edgevit.errors import Diverged
from edgevit.training import order
from edgevit.training.pace import Pace
from edgevit.training.position import Learned, Position
from edgevit.training.prepare import Fit
from edgevit.training.speed import Clock
from edgevit.training.workers import Workers

LOOKS = 50
"""Steps after which the host looks at what the device has computed: is the loss still a number, is it time to save."""
HELD_OUT = 256
"""Images in a batch of the validation."""
NOT_COUNTED = -1
"""The number of a batch, the last one, that a worker goes through with the others."""


@dataclass
class Course:
    """How an epoch goes: from where, whom to tell, and how to keep a position in its midst."""

    position: Position
    pace: Pace
    keep: Callable[[Position], None]
    kept: float = field(default_factory=time.monotonic)


@dataclass
class _Sums:
    """What the device adds up without the host looking. `bad` is the first step whose loss was no number, or -1."""

    loss: Tensor
    bad: Tensor
    seen: int = 0

    def mean(self, position: Position) -> float:
        """The mean loss so far, of this worker's images and of those before `position`; the device is waited for."""
        return float(self.loss) / max(1, position.seen + self.seen)

    def total(self, crew: Workers) -> tuple[float, int]:
        """The loss and the images of all workers; the device is waited for."""
        found = crew.total(torch.stack([self.loss.double().cpu(), torch.tensor(float(self.seen), dtype=torch.float64)]))
        return float(found[0]), int(found[1])

    def add(self, loss: Tensor, images: int, step: int) -> None:
        self.loss += loss * images
        self.bad = torch.where((self.bad < 0) & ~loss.isfinite(), step, self.bad)
        self.seen += images


def learn(state: Fit, course: Course) -> tuple[float, dict[str, float]]:
    """What is left of the epoch at `course.position`: the mean loss of all of it, and how it went (`Clock.figures` and more)."""
    train, crew, engine, position = state.train, state.crew, state.engine, course.position
    assert train.batch and train.epochs
    chunks = order.batches(
        len(state.pixels), train.seed, position.epoch, train.batch, crew.count, position.learned, state.pixels.groups
    )
    before, batches = position.batches, position.batches + len(chunks)
    steps = math.ceil(math.ceil(len(state.pixels) / train.batch) / train.accumulate)
    sums = _Sums(torch.tensor(position.loss if crew.first else 0.0, device=crew.device), torch.tensor(-1, device=crew.device))
    engine.norms.zero_()
    waited, clock, rate, made = state.pixels.waited, Clock(crew.device), 0.0, 0
    state.learner.model.train()
    pace = course.pace
    pace.begin(position.epoch, before)
    for number, (own, images, classes, drawn) in enumerate(_batches(state, chunks, position), start=before + 1):
        step = (position.epoch - 1) * steps + (number - 1) // train.accumulate
        at = number - 1 - before
        whole = _images_of_step(chunks, at, train.accumulate)
        last = number % train.accumulate == 0 or number == batches
        with engine.autocast():
            prepared = state.objective.prepared(images, classes, drawn)
        sums.add(engine.learn(prepared, own / whole, not last), own, step + 1)
        if last:
            rate, made = engine.step(step, train.epochs * steps), made + 1
            if _is_time_to_look(state, made) or number == batches:
                _look(state, course, sums, Learned(crew.count, number - before), number == batches)
        pace.batch(sum(len(part) for part in chunks[at]), lambda: sums.mean(position) * pace.images)
    clock.stop()
    loss, seen = sums.total(crew)
    figures = clock.figures(seen, state.pixels.waited - waited, state.flops, state.rate)
    figures |= {"lr": rate, "grad_norm": float(engine.norms) / max(1, made)}
    return loss / (position.seen + seen), figures


def _images_of_step(chunks: list[tuple[Tensor, ...]], at: int, accumulate: int) -> int:
    """Of all workers, in the batches that make one step with batch `at`: a resumed epoch begins with a step, not within one."""
    first = at // accumulate * accumulate
    return sum(len(part) for chunk in chunks[first : first + accumulate] for part in chunk)


def _batches(state: Fit, chunks: list[tuple[Tensor, ...]], position: Position) -> Iterator[tuple[int, Tensor, Tensor, Draws]]:
    """How many images of a batch are this worker's own, these (n, 3, H, W), normalised, their classes (n), the random numbers.

    A worker that has none, since a batch was too small or no image of it could be read, takes a black one that does not count:
    all have to make the same steps.
    """
    train, rank = state.train, state.crew.rank
    assert train.augment and train.mirror is not None
    how = dataclasses.replace(AUGMENTS[train.augment], mirror=train.mirror)
    for at, (pixels, classes) in enumerate(state.pixels.batches([chunk[rank] for chunk in chunks])):
        parts, own = [len(part) for part in chunks[at]], len(classes)
        if not own:
            pixels, classes = pixels.new_zeros(1, *pixels.shape[1:]), classes.new_zeros(1)
        begin = sum(parts[:rank])
        whole = max(sum(parts), begin + len(classes))
        drawn = draws(train.seed, position.epoch, position.batches + at, whole, begin, begin + len(classes))
        images = augment(state.scaled(pixels), how, drawn)
        yield own, state.normalised(images), classes, drawn


def _is_time_to_look(state: Fit, made: int) -> bool:
    """On one CPU the host waits anyway; elsewhere a look costs the time in which nothing new is told to the device."""
    alone = state.crew.device.type == "cpu" and state.crew.count == 1
    return alone or state.train.save_minutes == 0 or made % LOOKS == 0


def _look(state: Fit, course: Course, sums: _Sums, done: Learned, end: bool) -> None:
    """Raise Diverged where a loss was no number; and where it is time, keep what was learned."""
    crew, train = state.crew, state.train
    bad = crew.largest(int(sums.bad))
    if bad >= 0:
        hint = f"lower --lr (it is {train.lr:g}), or a longer --warmup; the last checkpoint is from before that, and whole"
        raise Diverged(f"the loss is no longer a number, in epoch {course.position.epoch}, step {bad}", hint)
    due = time.monotonic() - course.kept >= 60 * train.save_minutes
    if end or not crew.largest(int(due and crew.first)):
        return
    position = course.position
    loss, seen = sums.total(crew)
    course.keep(dataclasses.replace(position, learned=(*position.learned, done), seen=position.seen + seen, loss=loss))
    course.kept = time.monotonic()


@torch.no_grad()
def validated(state: Fit) -> dict[str, float]:
    """The metrics of the model that is shown, on the held-out images: each worker has looked at some of the batches."""
    shown, crew = state.shown.eval(), state.crew
    chunks = torch.arange(len(state.held_out)).split(HELD_OUT)
    mine = list(range(crew.rank, len(chunks), crew.count))
    if state.engine.sharded and len(mine) < math.ceil(len(chunks) / crew.count):
        mine.append(NOT_COUNTED)  # all have to come where parameters are put together
    sums = torch.zeros(3, dtype=torch.float64)
    for number, (pixels, classes) in zip(mine, state.held_out.batches([chunks[i] for i in mine]), strict=True):
        if not len(classes) and not state.engine.sharded:
            continue  # not one could be read, which has been said
        with state.engine.autocast():
            found = shown.tally(state.normalised(state.scaled(pixels)), classes, number)
        sums += 0 if number == NOT_COUNTED else found
    return state.shown.metrics(crew.total(sums))

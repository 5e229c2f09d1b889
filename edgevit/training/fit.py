"""Training: epochs over the data, validation after each, the best and the last checkpoint always whole on disk."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from edgevit import record
from edgevit.training import epoch, fits, prepare, recipe, run_folder
from edgevit.training.epoch import Course
from edgevit.training.pace import Pace, Way
from edgevit.training.position import Position
from edgevit.training.prepare import Fit, Rounding, going_on
from edgevit.training.run_settings import metric
from edgevit.training.watch import Watch
from edgevit.training.workers import Workers, joined
from edgevit.types import Checkpoint, Progress, TrainConfig, silent
from edgevit.versions import machine


def exact(settings: TrainConfig, last: Checkpoint | None) -> None:
    """No Linear is rounded."""


def fit(train: TrainConfig, run: Path, resume: bool, progress: Progress = silent, rounding: Rounding = exact) -> Checkpoint:
    """Train as `train` says in the folder `run` and return its best checkpoint.

    `rounding` lets the model compute with rounded Linears from the beginning.

    With `resume`, the settings are the run's own, and it goes on from its last checkpoint as if never interrupted: every
    random choice follows from the seed and from where in the run it is made. Of several workers, what the first one says
    holds for all; all see the same folder. Raises BadInput, OutOfMemory, and Diverged where the loss is no longer a number.
    """
    with joined(train.device) as crew:
        train, run, resume = _agreed(train, run, resume, crew)
        state, checkpoint = prepare.start(train, run, resume, crew, progress if crew.first else silent, rounding)
        failed = None
        try:
            return _Run(state, checkpoint, run, progress if crew.first else silent).all(resume)
        except (RuntimeError, MemoryError) as error:
            if not fits.ran_out(error):
                raise
            failed = error.with_traceback(None)  # its frames hold the tensors that did not fit
        fits.release(state.engine)
        raise fits.too_large(state.engine) from failed


def _agreed(train: TrainConfig, run: Path, resume: bool, crew: Workers) -> tuple[TrainConfig, Path, bool]:
    said = record.decode(crew.said(record.encode(_Said(train, str(run), resume)).decode()), _Said)
    return said.train, Path(said.run), said.resume


@dataclass(frozen=True)
class _Said:
    """What the first worker was told."""

    train: TrainConfig
    run: str
    resume: bool


class _Run:
    """The epochs of one training, and what is kept of them."""

    def __init__(self, state: Fit, checkpoint: Checkpoint, run: Path, progress: Progress) -> None:
        self.state, self.checkpoint, self.run, self.progress = state, checkpoint, run, progress
        self.better = state.objective.better
        self.best = math.inf

    def all(self, resume: bool) -> Checkpoint:
        state, crew = self.state, self.state.crew
        position = self._resumed() if resume else Position(1)
        assert state.train.epochs
        self.pace = self._pace(position.epoch - 1)
        with self._watch(position.epoch - 1) if crew.first else _Unwatched() as watch:
            self.watch = watch
            if resume:
                watch.catch_up(self.checkpoint.metrics)
            elif state.learner.rounds:  # rounding alone is what training has to better
                self._first()
            while position.epoch <= state.train.epochs:
                position = self._epoch(position)
        crew.wait()
        return run_folder.finished(self.run)

    def _epoch(self, position: Position) -> Position:
        """What is left of the epoch at `position`; the position after it."""
        loss, figures = epoch.learn(self.state, Course(position, self.pace, self._keep_within))
        self.pace.evaluating()
        metrics = {"epoch": float(position.epoch), "loss": loss, **epoch.validated(self.state)}
        self._kept(metrics, figures)
        return Position(position.epoch + 1)

    def _keep_within(self, position: Position) -> None:
        """Keep the model as it is in the middle of an epoch; what is known of it is what was known after the epoch before."""
        run_folder.save_last(self.run, self.state.learner, self.checkpoint, position)

    def _kept(self, metrics: dict[str, float], figures: dict[str, float]) -> None:
        """Keep the model as the last of the run, and as the best if it is."""
        learner = self.state.learner
        left_out = (*self.state.pixels.skipped, *self.state.held_out.skipped)
        skipped = self.state.crew.named(left_out)  # of shards more may be known than at the start, and others than by others
        self.checkpoint = dataclasses.replace(self.checkpoint, metrics=metrics, skipped=skipped)
        run_folder.save_last(self.run, learner, self.checkpoint, Position(int(metrics["epoch"]) + 1))
        if (rank := _rank(metrics[self.better], self.better)) < self.best:
            run_folder.save_best(self.run, learner, dataclasses.replace(self.checkpoint, chosen_by=self.better))
        self.best = min(rank, self.best)
        self.watch.row({**metrics, **figures})
        self.pace.end(metrics)

    def _first(self) -> None:
        """A rounded model before it learns anything: what it is worth decides how fast it may learn."""
        first = {"epoch": 0.0, **epoch.validated(self.state)}
        train = recipe.paced(self.state.train, self.checkpoint.config.width, first["val_loss"])
        assert self.checkpoint.train
        self.checkpoint = dataclasses.replace(self.checkpoint, train=dataclasses.replace(self.checkpoint.train, lr=train.lr))
        self.state.train = self.state.engine.train = train
        self._kept(first, {})

    def _resumed(self) -> Position:
        """Where the run stands. One that was killed before its last checkpoint was its best has that saved now."""
        self.checkpoint, position = run_folder.resume(self.run, self.state.learner)
        assert self.checkpoint.train
        self.checkpoint = dataclasses.replace(self.checkpoint, train=going_on(self.checkpoint.train, self.state.train))
        if run_folder.has_best(self.run):
            self.best = _rank(run_folder.best_so_far(self.run, self.better), self.better)
        self.state.crew.wait()  # before the first worker may write one
        if not position.learned:
            rank = _rank(metric(self.checkpoint, self.better), self.better)
            if rank < self.best:
                best = dataclasses.replace(self.checkpoint, chosen_by=self.better)
                run_folder.save_best(self.run, self.state.learner, best)
            self.best = min(rank, self.best)
        return position

    def _pace(self, done: int) -> Pace:
        train, images = self.state.train, len(self.state.pixels)
        assert train.epochs and train.batch
        way = Way(train.epochs, math.ceil(images / train.batch), images, len(self.state.held_out))
        return Pace(self.progress, way, done)

    def _watch(self, done: int) -> Watch:
        return Watch(self.run, done, self.checkpoint.train, self.progress, _where(self.state.crew.device))


def _where(device: torch.device) -> str:
    """The machine, and its GPU where that is what trains."""
    return f"{torch.cuda.get_device_name(device)}, {machine()}" if device.type == "cuda" else machine()


class _Unwatched:
    """The story of a run is the first worker's to tell."""

    def __enter__(self) -> _Unwatched:
        return self

    def __exit__(self, *_: object) -> None: ...

    def row(self, metrics: dict[str, float]) -> None: ...

    def catch_up(self, metrics: dict[str, float]) -> None: ...


def _rank(value: float, name: str) -> float:
    """The smaller the better."""
    return value if name.endswith("loss") else -value

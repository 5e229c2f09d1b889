"""Training, going on with it, and how good what came out is."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import quantize
from edgevit import checkpoint as checkpoints
from edgevit import folder, stage
from edgevit.data import lasting
from edgevit.errors import BadInput, Diverged
from edgevit.pipeline import drawing
from edgevit.training import run_settings, watching
from edgevit.types import Checkpoint, DataChoice, EvalResult, Progress, TrainConfig

DEV = 0.1


def train(settings: TrainConfig, out: Path, force: bool, progress: Progress) -> Checkpoint:
    """Train into `out` and return the best checkpoint. An older run at `out` stays whole until the new one is."""
    run = run_settings.place(out, force)
    return _fit(settings, run, out, False, progress)


def train_best_rate(asked: TrainConfig, rates: tuple[float, ...], out: Path, force: bool, progress: Progress) -> Checkpoint:
    """Train with each of the learning rates on a part of the training images, and then on all with the one that did best.

    The part that chooses is a tenth of the training images (paper, appendix B.1.1); the held-out ones have no say.
    """
    run_settings.place(out, force)
    watching.require(asked.watchers)
    trials = {rate: settings({**vars(asked), "lr": rate, "dev": DEV}) for rate in rates}
    with tempfile.TemporaryDirectory(prefix="edgevit-rates-") as scratch:
        tried = {rate: _tried(one, Path(scratch) / f"{rate:g}", _named(progress, rate)) for rate, one in trials.items()}
    learned = {rate: top1 for rate, top1 in tried.items() if top1 is not None}
    if not learned:
        raise Diverged(
            f"with every learning rate the loss is no longer a number: {', '.join(f'{r:g}' for r in rates)}", "try lower ones"
        )
    best = max(learned, key=lambda rate: (learned[rate], -rate))
    by_rate = {f"{rate:g}": top1 for rate, top1 in tried.items()}
    return train(dataclasses.replace(asked, lr=best, tried=by_rate), out, force, progress)


def settings(given: Mapping[str, Any]) -> TrainConfig:
    """Those that are `given`, by name. Raises BadInput where they cannot be.

    Who trains for a recipe keeps the head, and learns from the checkpoint that it begins from.
    """
    said = given.get("said") or tuple(name for name, value in given.items() if value is not None and name != "objective")
    given = {**given, "said": said}
    if recipe := given.get("quantize"):
        if not quantize.get(recipe).quantizes:
            raise BadInput(f"{recipe} quantizes nothing", "--quantize int4-g32, for one; edgevit recipes lists them")
        if quantize.get(recipe).activations == "static":
            hint = "train for the same weights with other activations, as int8; ranges of static ones come from calibration"
            raise BadInput(f"training does not see the static activations of {recipe}", hint)
        given = {"keep_head": True, "teacher": given.get("start"), **given, "quantize": lasting(recipe)}
    try:
        return TrainConfig(**given)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _tried(settings: TrainConfig, run: Path, progress: Progress) -> float | None:
    """Top-1 on the part that chooses; None where the loss was no longer a number."""
    try:
        return _trained(dataclasses.replace(settings, watch="none"), run, False, progress).metrics["val_top1"]
    except Diverged:
        return None


def _named(progress: Progress, rate: float) -> Progress:
    return lambda label, done, total: progress(f"lr {rate:g}: {label}", done, total)


def resume(given: Mapping[str, object], out: Path, progress: Progress) -> Checkpoint:
    """Go on with the interrupted run at `out`. Raises BadInput where a setting is `given` that is not the run's."""
    run, settings = run_settings.unfinished(out)
    for name, value in given.items():
        if name != "watch" and value != getattr(settings, name) and str(Path(str(value)).resolve()) != getattr(settings, name):
            was = getattr(settings, name)
            raise BadInput(f"the run at {out} has {name} {was}, not {value}", "--resume takes the settings of the run")
    if run != out:
        run_settings.refuse_loss(out)
    return _fit(_watched(settings, str(given.get("watch", settings.watch))), run, out, True, progress)


def _watched(settings: TrainConfig, watch: str) -> TrainConfig:
    """Who watches is no setting of the model: a run may go on with others. Raises BadInput."""
    try:
        return dataclasses.replace(settings, watch=watch)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _fit(settings: TrainConfig, run: Path, out: Path, again: bool, progress: Progress) -> Checkpoint:
    watching.require(settings.watchers)
    _trained(settings, run, again, progress)
    drawing.drawn(run, progress)
    if run != out:
        run_settings.refuse_loss(out)  # once more: the training took a while, and the new run is whole beside the old one
        folder.put_in_place(run, out.resolve())
    return checkpoints.read(out)


def _trained(settings: TrainConfig, run: Path, again: bool, progress: Progress) -> Checkpoint:
    """Train in a child, while the curves are drawn beside it."""
    sketch = drawing.Sketch(run, progress)
    try:
        return stage.run("edgevit.jobs.train:fit", Checkpoint, sketch, train=settings, run=run, resume=again).value
    finally:
        sketch.stop()


def evaluate(checkpoint: Path, data: DataChoice, progress: Progress) -> EvalResult:
    checkpoint = checkpoints.find(checkpoint)
    return stage.run("edgevit.jobs.evaluate:evaluate", EvalResult, progress, checkpoint=checkpoint, data=data).value


def can_go_on(out: Path) -> bool:
    """Whether --resume would find an unfinished run at `out`."""
    try:
        run_settings.unfinished(out)
    except BadInput:
        return False
    return True


def choose_data(checkpoint: Checkpoint, spec: str | None, split: str, on_bad: str) -> DataChoice:
    """The images that were named, or those that the checkpoint was trained from. Raises BadInput where it knows none."""
    if spec is None and checkpoint.train is None:
        raise BadInput(f"{checkpoint.folder} was trained by others, on images unknown here", "--data says which to take")
    return DataChoice(lasting(spec) if spec else checkpoint.train.data if checkpoint.train else "", split, on_bad)

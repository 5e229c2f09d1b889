"""Training, going on with it, and how good what came out is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import quantize
from edgevit import checkpoint as checkpoints
from edgevit import folder, stage
from edgevit.data import lasting
from edgevit.errors import BadInput
from edgevit.pipeline import drawing
from edgevit.training import ranks, run_settings, watching
from edgevit.types import EXECUTION, Checkpoint, DataChoice, EvalResult, Progress, TrainConfig


def train(settings: TrainConfig, out: Path, force: bool, progress: Progress) -> Checkpoint:
    """Train into `out` and return the best checkpoint. An older run at `out` stays whole until the new one is."""
    run = run_settings.place(out, force) if ranks.rank() == 0 else out
    return fit(settings, run, out, False, progress)


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


def resume(given: Mapping[str, Any], out: Path, progress: Progress) -> Checkpoint:
    """Go on with the interrupted run at `out`. Raises BadInput where a setting is `given` that is not the run's.

    Of several workers the first one knows which run that is; the others hear it from that one.
    """
    try:
        run, settings = run_settings.unfinished(out)
    except BadInput:
        if ranks.rank() == 0:
            raise
        run, settings = out, TrainConfig("", device=str(given.get("device", "auto")))
    try:
        settings = dataclasses.replace(settings, **{name: value for name, value in given.items() if name in EXECUTION})
    except ValueError as error:
        raise BadInput(str(error)) from error
    for name, value in given.items() if ranks.rank() == 0 else ():
        if value != getattr(settings, name) and str(Path(str(value)).resolve()) != getattr(settings, name):
            was = getattr(settings, name)
            raise BadInput(f"the run at {out} has {name} {was}, not {value}", "--resume takes the settings of the run")
    if run != out and ranks.rank() == 0:
        run_settings.refuse_loss(out)
    return fit(settings, run, out, True, progress)


def mend(out: Path) -> str:
    """Let an interrupted run at `out` whose last checkpoint is damaged go on from the one before; what is to be said of that."""
    return run_settings.mend(out) if ranks.rank() == 0 else ""


def goes_on(out: Path, resume: bool) -> bool:
    """Whether to go on with the run at `out`: as was asked, or since torchrun started all workers anew when one had died."""
    return resume or (ranks.restarts() > 0 and can_go_on(out))


def require_alone(what: str) -> None:
    """Raise BadInput where torchrun started this process with others: each would do all of it."""
    if ranks.count() > 1:
        raise BadInput(f"{what} is nothing that the workers of torchrun do together", "the same command without torchrun does it")


def speaks() -> bool:
    """Whether this process is the one of several workers that tells how it went."""
    return ranks.rank() == 0


def fit(settings: TrainConfig, run: Path, out: Path, again: bool, progress: Progress) -> Checkpoint:
    """Train in a child, in the folder `run`, which then takes its place at `out`."""
    watching.require(settings.watchers)
    made = trained(settings, run, again, progress)
    if ranks.rank():
        return made
    drawing.drawn(run, progress)
    if run != out:
        run_settings.refuse_loss(out)  # once more: the training took a while, and the new run is whole beside the old one
        folder.put_in_place(run, out.resolve())
    return checkpoints.read(out)


def trained(settings: TrainConfig, run: Path, again: bool, progress: Progress) -> Checkpoint:
    """Train in a child, while the curves are drawn beside it."""
    given = {"train": settings, "run": run, "resume": again}
    if ranks.rank():
        return stage.run("edgevit.jobs.train:fit", Checkpoint, progress, **given).value
    sketch = drawing.Sketch(run, progress)
    try:
        return stage.run("edgevit.jobs.train:fit", Checkpoint, sketch, **given).value
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

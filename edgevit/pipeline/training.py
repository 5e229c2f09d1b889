"""Training, going on with it, and how good what came out is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import quantize
from edgevit import checkpoint as checkpoints
from edgevit import folder, stage
from edgevit.data import lasting
from edgevit.errors import BadInput
from edgevit.training import run_settings
from edgevit.types import Checkpoint, DataChoice, EvalResult, Progress, TrainConfig


def train(settings: TrainConfig, out: Path, force: bool, progress: Progress) -> Checkpoint:
    """Train into `out` and return the best checkpoint. An older run at `out` stays whole until the new one is."""
    run = run_settings.place(out, force)
    return fit(settings, run, out, False, progress)


def settings(given: Mapping[str, Any]) -> TrainConfig:
    """Those that are `given`, by name. Raises BadInput where they cannot be.

    Who trains for a recipe keeps the head, and learns from the checkpoint that it begins from.
    """
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


def resume(given: Mapping[str, object], out: Path, progress: Progress) -> Checkpoint:
    """Go on with the interrupted run at `out`. Raises BadInput where a setting is `given` that is not the run's."""
    run, settings = run_settings.unfinished(out)
    for name, value in given.items():
        if value != getattr(settings, name) and str(Path(str(value)).resolve()) != getattr(settings, name):
            was = getattr(settings, name)
            raise BadInput(f"the run at {out} has {name} {was}, not {value}", "--resume takes the settings of the run")
    if run != out:
        run_settings.refuse_loss(out)
    return fit(settings, run, out, True, progress)


def fit(settings: TrainConfig, run: Path, out: Path, again: bool, progress: Progress) -> Checkpoint:
    """Train in a child, in the folder `run`, which then takes its place at `out`."""
    stage.run("edgevit.jobs.train:fit", Checkpoint, progress, train=settings, run=run, resume=again)
    if run != out:
        run_settings.refuse_loss(out)  # once more: the training took a while, and the new run is whole beside the old one
        folder.put_in_place(run, out.resolve())
    return checkpoints.read(out)


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

"""One image after the other by training's code, by the artifact's runner, and by the code that is generated for apps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from edgevit.checks.accuracy import relative_error
from edgevit.checks.statistics import allowed
from edgevit.data.decoding import open_image
from edgevit.data.preprocess import normalise, pixels, rgb
from edgevit.errors import DamagedFile, EdgevitError, NoRuntime
from edgevit.jobs.answers import given, load, torch_runner
from edgevit.jobs.export import as_converted
from edgevit.jobs.predict import one_image
from edgevit.types import Artifact, Compared, ImageParity, Input, ParityStage, Preprocess, Progress, Runner

T = TypeVar("T")
TENSOR = 1e-6
"""How far two ways to normalise the same pixels may be apart."""


@dataclass(frozen=True)
class _Ways:
    """All that answers here: `training` and `runner` with logits, `model` of the generated `code` with what the file gives.

    None where it is not here, and `why` says why.
    """

    artifact: Artifact
    steps: Preprocess
    code: Any
    training: Runner | None
    runner: Runner | None
    model: Any
    why: str


def parity(
    artifact: Artifact, code: Path, images: tuple[Path, ...], checkpoint: Path | None, not_here: str, progress: Progress
) -> Compared:
    """`code` is the Python file, written by us; `not_here` says why its runtime cannot run on this machine, if it cannot."""
    progress("loading", 0, None)
    ways = _ways(artifact, _imported(code), checkpoint, not_here)
    found = []
    for number, image in enumerate(images):
        found.append(_one(ways, image))
        progress("comparing", number + 1, len(images))
    other = sum(None not in (x.training, x.runner) and x.training != x.runner for x in found)
    assert artifact.tolerance
    return Compared(tuple(found), other, allowed(1 - artifact.tolerance.agreement, len(found)))


def _imported(code: Path) -> Any:
    spec = importlib.util.spec_from_file_location("generated", code)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _ways(artifact: Artifact, code: Any, checkpoint: Path | None, not_here: str) -> _Ways:
    assert artifact.preprocess
    training = torch_runner(as_converted(checkpoint, artifact)) if checkpoint else None
    try:
        runner, why = load(artifact), not_here
    except NoRuntime as error:
        runner, why = None, error.message
    model = None if why else code.Model(artifact.folder / str(artifact.file))
    return _Ways(artifact, artifact.preprocess, code, training, runner, model, why)


def _one(ways: _Ways, path: Path) -> ImageParity:
    ours, refusal = _taken(lambda: _by_training(path, ways.steps), DamagedFile)
    theirs, their_refusal = _taken(lambda: _by_code(path, ways.code), ways.code.Refused)
    if ours is None or theirs is None:
        return _refused(path, refusal, their_refusal)
    decoded, resized = ours
    stages = [_levels("decoded", decoded, theirs[0]), _levels("resized", resized, theirs[1])]
    entering = theirs[1][None]
    if ways.artifact.input is Input.TENSOR:
        entering = ways.code.tensor(theirs[1])
        stages.append(_tensor(normalise(resized[None], ways.steps), entering))
    return _answered(ways, path, decoded.shape[:2], stages, entering)


def _taken(way: Callable[[], T], refusals: type[Exception]) -> tuple[T | None, str]:
    """What a way makes of an image, or why it refuses it."""
    try:
        return way(), ""
    except refusals as why:
        return None, str(why)


def _by_training(path: Path, steps: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Decoded and upright, and resized."""
    return np.asarray(rgb(open_image(path))), pixels(open_image(path), steps)


def _by_code(path: Path, code: Any) -> tuple[np.ndarray, np.ndarray]:
    image: Image.Image = code.decode(path)
    return np.asarray(image), code.resize(image)


def _refused(path: Path, ours: str, theirs: str) -> ImageParity:
    if ours and theirs:
        return ImageParity(str(path), refused=ours)
    who, other, why = ("training", "the code", ours) if ours else ("the code", "training", theirs)
    words = f"{who} refuses it, and {other} does not: {why}"
    return ImageParity(str(path), stages=(ParityStage("decoded", None, 0, False, words),))


def _levels(name: str, ours: np.ndarray, theirs: np.ndarray) -> ParityStage:
    if ours.shape != theirs.shape:
        return ParityStage(name, None, 0, False, f"{theirs.shape[:2]} pixels in place of {ours.shape[:2]}")
    apart = 0 if np.array_equal(ours, theirs) else int(np.abs(ours.astype(np.int16) - theirs).max())
    return ParityStage(name, apart, 0, apart == 0)


def _tensor(ours: np.ndarray, theirs: np.ndarray) -> ParityStage:
    """The file may take channels first or last."""
    turned = theirs if theirs.shape == ours.shape else theirs.transpose(0, 3, 1, 2)
    apart = float(np.abs(ours - turned).max())
    return ParityStage("tensor", apart, TENSOR, apart <= TENSOR)


def _answered(ways: _Ways, path: Path, size: tuple[int, ...], stages: list[ParityStage], entering: np.ndarray) -> ImageParity:
    """With what each way gives of the image, and its answer."""
    image = one_image(path, ways.steps)
    training, runner = (given(ways.artifact, way(image)) if way else None for way in (ways.training, ways.runner))
    code = ways.model.run(entering)[None] if ways.model else None
    stages += [_apart(ways, "runner", runner, training), _apart(ways, "generated", code, training if runner is None else runner)]
    labels = ways.artifact.labels
    answers = [None if scores is None else labels[int(scores[0].argmax())] for scores in (training, runner, code)]
    if answers[2] != answers[1] and None not in answers[1:]:
        stages.append(ParityStage("answer", None, 0, False, f"{answers[2]} by the code, {answers[1]} by the runner"))
    return ImageParity(str(path), (size[0], size[1]), "", tuple(stages), *answers)


def _apart(ways: _Ways, name: str, scores: np.ndarray | None, reference: np.ndarray | None) -> ParityStage:
    assert ways.artifact.tolerance
    most = ways.artifact.tolerance.relative_error
    if scores is None:
        return ParityStage(name, None, most, True, ways.why)
    if reference is None:
        return ParityStage(name, None, most, True, "no checkpoint is there to compare with")
    if scores.shape != reference.shape:
        raise EdgevitError(f"the model gives {scores.shape[-1]} numbers, and {reference.shape[-1]} classes are known")
    apart = relative_error(scores.astype(np.float64), reference.astype(np.float64))
    return ParityStage(name, apart, most, apart <= most)

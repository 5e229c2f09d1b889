"""From the settings of a training to all that its epochs need: data, model, optimiser, workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgevit import checkpoint as checkpoints
from edgevit.data import lasting
from edgevit.data.preprocess import normalise
from edgevit.training import engine as engines
from edgevit.training import fits, optimiser, precision, run_folder, speed, workers
from edgevit.training.average import Average
from edgevit.training.engine import Engine
from edgevit.training.images import Chosen, choose
from edgevit.training.objective import Objective, objective
from edgevit.training.pixels import Pixels
from edgevit.training.run_folder import Learner, Rounds
from edgevit.training.run_settings import LAST
from edgevit.training.start import begin
from edgevit.training.workers import Workers
from edgevit.types import EXECUTION, Checkpoint, Preprocess, Progress, TrainConfig
from edgevit.versions import versions
from edgevit.vit.model import ViT

Rounding = Callable[[TrainConfig, Checkpoint | None], Rounds | None]
"""Settings, and the checkpoint that a run goes on from, to what rounds its Linears while they learn."""


@dataclass
class Fit:
    """All that an epoch needs. `shown` is the objective around the model that is evaluated: the average, where there is one.

    `flops` of one image in a step, and `rate`, what the devices of all workers do in a second: both in operations.
    """

    train: TrainConfig
    learner: Learner
    objective: Objective
    shown: Objective
    engine: Engine
    pixels: Pixels
    held_out: Pixels
    crew: Workers
    mean: Tensor
    std: Tensor
    flops: int
    rate: float

    def scaled(self, pixels: Tensor) -> Tensor:
        """uint8 (n, H, W, 3) to float (n, 3, H, W) in 0..1 on the device."""
        return (pixels.to(self.crew.device, non_blocking=True).float() / 255).permute(0, 3, 1, 2).contiguous()

    def normalised(self, images: Tensor) -> Tensor:
        """With `scaled`, the same as `preprocess.normalise`, in torch."""
        return (images - self.mean) / self.std


def start(
    train: TrainConfig, run: Path, resume: bool, crew: Workers, progress: Progress, rounding: Rounding
) -> tuple[Fit, Checkpoint]:
    """What the epochs need, and the record of a checkpoint that has learned nothing yet. Raises BadInput."""
    last = checkpoints.read(run / LAST) if resume else None
    train = going_on(last.train, train) if last and last.train else train
    data = choose(train)
    train, preprocess, model = begin(train, data, last)
    train = train if train.precision else dataclasses.replace(train, precision=precision.choose(model, crew))
    pixels, held_out = _pixels(train, data, preprocess, crew, progress)
    if rounds := rounding(train, last):
        rounds.prepare(model, _some(pixels, rounds.images, preprocess))
    learned = objective(train, model.to(crew.device), preprocess, data.labels, crew.device)
    learner, shown = _learner(train, model, learned, crew, rounds)
    engine = Engine(train, learner, learned, crew)
    if train.auto_batch and not resume:
        train = fits.chosen(engine)
        engine = Engine(train, learner, learned, crew)
    mean, std = (torch.tensor(v, device=crew.device).reshape(1, 3, 1, 1) for v in (preprocess.mean, preprocess.std))
    rate = crew.count * speed.matrix_rate(crew.device, getattr(torch, str(train.precision)))
    fit = Fit(train, learner, learned, shown, engine, pixels, held_out, crew, mean, std, speed.flops(model.config), rate)
    return fit, _record(train, model, preprocess, data.labels, (*pixels.skipped, *held_out.skipped))


def _pixels(train: TrainConfig, data: Chosen, preprocess: Preprocess, crew: Workers, progress: Progress) -> tuple[Pixels, Pixels]:
    """Of the training and of the held-out images. What the first worker has decoded and kept, the others need not decode."""
    for turn in range(2):
        if crew.first == (turn == 0):
            made = [Pixels(i, preprocess, train.on_bad_image, progress, crew.device) for i in (data.train, data.held_out)]
        crew.wait()
    return made[0], made[1]


def going_on(settings: TrainConfig, said: TrainConfig) -> TrainConfig:
    """The settings of a run that goes on: what is computed is its own, on what and how is as is said now."""
    return dataclasses.replace(settings, **{name: getattr(said, name) for name in EXECUTION})


def _record(
    train: TrainConfig, model: ViT, preprocess: Preprocess, labels: tuple[str, ...], skipped: tuple[str, ...]
) -> Checkpoint:
    begun, teacher = (lasting(path) if path else None for path in (train.start, train.teacher))
    labels = () if train.objective == "masked patches" else labels
    checkpoint = Checkpoint(model.config, preprocess, labels, {}, "", versions("torch", "numpy", "pillow"))
    settings = dataclasses.replace(train, data=lasting(train.data), start=begun, teacher=teacher)
    return dataclasses.replace(checkpoint, train=settings, skipped=skipped)


def _some(pixels: Pixels, count: int, preprocess: Preprocess) -> Tensor:
    """At most `count` of the images, spread over all, normalised: (n, 3, H, W)."""
    chosen = torch.linspace(0, len(pixels) - 1, min(count, len(pixels))).round().long()
    batch, _ = next(pixels.batches([chosen]))
    return torch.from_numpy(normalise(batch.cpu().numpy(), preprocess))


def _learner(
    train: TrainConfig, model: ViT, learned: Objective, crew: Workers, rounds: Rounds | None
) -> tuple[Learner, Objective]:
    """The learner, and the objective around the model that it shows."""
    if train.freeze:
        model.requires_grad_(False)
        for part in (*model.heads(), model.pre_logits):
            if part is not None:
                part.requires_grad_(True)
    for number, block in enumerate(model.layers()):
        block.drop_path = (train.drop_path or 0.0) * number / max(1, len(model.blocks) - 1)
        block.recompute = train.recompute
    average = Average(model, train.ema) if train.ema else None
    shown = learned.around(average.model) if average else learned
    if sharded := engines.sharded(train, crew):
        for one in {id(o): o for o in (learned, shown)}.values():
            if engines.compiles(train, crew):
                for each in one.model.blocks:
                    each.compile()
            workers.shard(one, list(one.model.blocks), crew, "tally")
    built = optimiser.build(run_folder.parameters(model, learned.extra), train, len(model.blocks), sharded)
    return Learner(model, learned.extra, built, average, crew, sharded, rounds), shown

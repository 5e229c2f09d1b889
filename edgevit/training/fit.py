"""Training: epochs over the data, validation after each, the best and the last checkpoint always whole on disk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from edgevit import checkpoint as checkpoints
from edgevit.data import lasting
from edgevit.data.augment import AUGMENTS, augment
from edgevit.data.preprocess import normalise
from edgevit.errors import BadInput, Diverged
from edgevit.training import optimiser, recipe, run_folder
from edgevit.training.average import Average
from edgevit.training.images import choose
from edgevit.training.masked import MaskedPatches
from edgevit.training.pace import Pace, Way
from edgevit.training.pixels import Pixels
from edgevit.training.run_folder import Learner, Rounds
from edgevit.training.run_settings import metric
from edgevit.training.start import begin
from edgevit.training.supervised import Supervised, Teacher
from edgevit.training.watch import Watch
from edgevit.types import Checkpoint, Preprocess, Progress, TrainConfig, silent
from edgevit.versions import machine, versions
from edgevit.vit.model import ViT


class Objective(Protocol):
    """What is learned. `better` is the metric that chooses the best checkpoint, `extra` what is learned besides the model."""

    better: str
    extra: nn.Module | None

    def loss(self, model: ViT, images: Tensor, classes: Tensor, random: torch.Generator) -> Tensor: ...

    def evaluate(self, model: ViT, to_images, held_out: Pixels) -> dict[str, float]: ...  # type: ignore[no-untyped-def]


@dataclass
class Fit:
    """All that an epoch needs. `device` is where the model is."""

    train: TrainConfig
    learner: Learner
    objective: Objective
    pixels: Pixels
    held_out: Pixels
    device: torch.device
    mean: Tensor
    std: Tensor

    def scaled(self, pixels: Tensor) -> Tensor:
        """uint8 (n, H, W, 3) to float (n, 3, H, W) in 0..1 on the device."""
        return (pixels.to(self.device, non_blocking=True).float() / 255).permute(0, 3, 1, 2).contiguous()

    def normalised(self, images: Tensor) -> Tensor:
        """With `scaled`, the same as `preprocess.normalise`, in torch."""
        return (images - self.mean) / self.std

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.train.precision == "bfloat16")


def fit(train: TrainConfig, run: Path, resume: bool, progress: Progress = silent, rounds: Rounds | None = None) -> Checkpoint:
    """Train as `train` says in the folder `run` and return its best checkpoint.

    `rounds` lets the model compute with rounded Linears from the beginning.

    With `resume`, the settings are the run's own, and it goes on after its last whole epoch as if never interrupted: every
    random choice of an epoch follows from the seed and the epoch's number. Raises BadInput, and Diverged where the loss
    is no longer a number.
    """
    last = checkpoints.read(run / "last") if resume else None
    settings = dataclasses.replace(last.train, watch=train.watch) if last and last.train else train
    state, checkpoint = _start(settings, last, progress, rounds)
    epochs = state.train.epochs
    done, best = _resumed(run, state) if resume else (0, math.inf)
    assert epochs
    pace = _pace(state, done, progress)
    with Watch(run, done, checkpoint.train, progress, _where(state.device)) as watch:
        if last and (not watch.rows or watch.rows[-1]["epoch"] < done):
            watch.row(last.metrics)
        if rounds and not resume:  # rounding alone is what training has to better
            first = {"epoch": 0.0, **_validated(state)}
            state, checkpoint = _paced(state, checkpoint, first["val_loss"])
            best = _kept(run, state, checkpoint, first, best, watch)
            pace.end(first)
        for epoch in range(done + 1, epochs + 1):
            loss = _epoch(state, epoch, pace)
            pace.evaluating()
            metrics = {"epoch": float(epoch), "loss": loss, **_validated(state)}
            best = _kept(run, state, checkpoint, metrics, best, watch)
            pace.end(metrics)
    return run_folder.finished(run)


def _paced(state: Fit, checkpoint: Checkpoint, loss: float) -> tuple[Fit, Checkpoint]:
    train = recipe.paced(state.train, checkpoint.config.width, loss)
    assert checkpoint.train
    known = dataclasses.replace(checkpoint.train, lr=train.lr)
    return dataclasses.replace(state, train=train), dataclasses.replace(checkpoint, train=known)


def _kept(run: Path, state: Fit, checkpoint: Checkpoint, metrics: dict[str, float], best: float, watch: Watch) -> float:
    """Keep the model as the last of the run, and as the best if it is. The rank of the best."""
    better, checkpoint = state.objective.better, dataclasses.replace(checkpoint, metrics=metrics)
    run_folder.save_last(run, state.learner, checkpoint)
    if (rank := _rank(metrics[better], better)) < best:
        run_folder.save_best(run, state.learner, dataclasses.replace(checkpoint, chosen_by=better))
    watch.row(metrics)
    return min(rank, best)


def _pace(state: Fit, done: int, progress: Progress) -> Pace:
    train, images = state.train, len(state.pixels)
    assert train.epochs and train.batch
    return Pace(progress, Way(train.epochs, math.ceil(images / train.batch), images, len(state.held_out)), done)


def _rank(value: float, name: str) -> float:
    """The smaller the better."""
    return value if name.endswith("loss") else -value


def _resumed(run: Path, state: Fit) -> tuple[int, float]:
    """The epochs that are done, and the rank of the best so far.

    A run that was killed after it saved the last checkpoint, and before the best, has that one saved now.
    """
    last, better = run_folder.resume(run, state.learner), state.objective.better
    rank = _rank(metric(last, better), better)
    best = _rank(run_folder.best_so_far(run, better), better) if run_folder.has_best(run) else math.inf
    if rank < best:
        run_folder.save_best(run, state.learner, dataclasses.replace(last, chosen_by=better))
    return int(metric(last, "epoch")), min(rank, best)


def _start(train: TrainConfig, last: Checkpoint | None, progress: Progress, rounds: Rounds | None) -> tuple[Fit, Checkpoint]:
    data = choose(train)
    device = choose_device(train.device)
    train, preprocess, model = begin(train, data, last)
    train = train if train.precision else dataclasses.replace(train, precision=_precision(device))
    pixels = Pixels(data.train, preprocess, train.on_bad_image, progress)
    held_out = Pixels(data.held_out, preprocess, train.on_bad_image, progress)
    if rounds:
        rounds.prepare(model, _some(pixels, rounds.images, preprocess))
    model = model.to(device)
    objective = _objective(train, model, preprocess, data.labels, device)
    learner = dataclasses.replace(_learner(train, model, objective), rounds=rounds)
    mean, std = (torch.tensor(v, device=device).reshape(1, 3, 1, 1) for v in (preprocess.mean, preprocess.std))
    state = Fit(train, learner, objective, pixels, held_out, device, mean, std)
    start, teacher = (lasting(path) if path else None for path in (train.start, train.teacher))
    labels = () if train.objective == "masked patches" else data.labels
    checkpoint = Checkpoint(model.config, preprocess, labels, {}, "", versions("torch", "numpy", "pillow"))
    settings = dataclasses.replace(train, data=lasting(train.data), start=start, teacher=teacher)
    skipped = (*pixels.skipped, *held_out.skipped)
    return state, dataclasses.replace(checkpoint, train=settings, skipped=skipped)


def _some(pixels: Pixels, count: int, preprocess: Preprocess) -> Tensor:
    """At most `count` of the images, spread over all, normalised: (n, 3, H, W)."""
    chosen = torch.linspace(0, len(pixels) - 1, min(count, len(pixels))).round().long()
    batch, _ = next(pixels.batches(chosen, len(chosen)))
    return torch.from_numpy(normalise(batch.numpy(), preprocess))


def _objective(
    train: TrainConfig, model: ViT, preprocess: Preprocess, labels: tuple[str, ...], device: torch.device
) -> Objective:
    if train.objective == "masked patches":
        return MaskedPatches(model.config, preprocess, device)
    teacher = Teacher(Path(train.teacher), labels, preprocess, device) if train.teacher else None
    return Supervised(train, len(labels), teacher)


def _learner(train: TrainConfig, model: ViT, objective: Objective) -> Learner:
    if train.freeze:
        model.requires_grad_(False)
        for part in (*model.heads(), model.pre_logits):
            if part is not None:
                part.requires_grad_(True)
    for number, block in enumerate(model.blocks):
        block.drop_path = (train.drop_path or 0.0) * number / max(1, len(model.blocks) - 1)  # type: ignore[assignment]
    built = optimiser.build(run_folder.parameters(model, objective.extra), train, len(model.blocks))
    return Learner(model, objective.extra, built, Average(model, train.ema) if train.ema else None)


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises BadInput for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(f"no such device here: {name}", "--device auto takes the GPU where there is one") from error
    return device


def _where(device: torch.device) -> str:
    """The machine, and its GPU where that is what trains."""
    return f"{torch.cuda.get_device_name(device)}, {machine()}" if device.type == "cuda" else machine()


def _precision(device: torch.device) -> str:
    """Half the time on a GPU; on most CPUs, and for small models on all of them, bfloat16 is the slower one."""
    return "bfloat16" if device.type == "cuda" else "float32"


def _epoch(state: Fit, epoch: int, pace: Pace) -> float:
    """One pass over the training images; the mean loss."""
    train, learner = state.train, state.learner
    assert train.batch and train.epochs
    random = torch.Generator().manual_seed(train.seed * 1_000_003 + epoch)
    torch.manual_seed(train.seed * 1_000_003 + epoch)  # for stochastic depth, which draws on the device
    order = torch.randperm(len(state.pixels), generator=random)
    batches = math.ceil(len(order) / train.batch)
    steps = math.ceil(batches / train.accumulate)
    learner.model.train()
    pace.begin(epoch)
    total = torch.zeros((), device=state.device)
    for number, (images, classes) in enumerate(_batches(state, order, random), start=1):
        with state.autocast():
            loss = state.objective.loss(learner.model, images, classes, random)
        (loss * _share(number, len(images), len(order), train)).backward()
        if number % train.accumulate == 0 or number == batches:
            _step(state, (epoch - 1) * steps + (number - 1) // train.accumulate, train.epochs * steps)
        total += loss.detach() * len(images)
        pace.batch(len(images), total.item)
    mean = float(total) / len(order)
    if not math.isfinite(mean):
        hint = f"lower --lr (it is {train.lr:g}); the checkpoint of the epoch before is whole"
        raise Diverged(f"the loss is no longer a number, in epoch {epoch}", hint)
    return mean


def _share(number: int, size: int, images: int, train: TrainConfig) -> float:
    """Of the images of one step, those in batch `number` (from 1) of `size` images: the last step of an epoch may have fewer."""
    assert train.batch
    whole = train.batch * train.accumulate
    before = (number - 1) // train.accumulate * whole
    return size / min(whole, images - before)


def _step(state: Fit, step: int, steps: int) -> None:
    train, learner = state.train, state.learner
    assert train.lr and train.warmup is not None
    optimiser.set_rate(learner.optimiser, optimiser.learning_rate(step, steps, train.lr, train.warmup))
    torch.nn.utils.clip_grad_norm_([p for group in learner.optimiser.param_groups for p in group["params"]], optimiser.CLIP)
    learner.optimiser.step()
    learner.optimiser.zero_grad(set_to_none=True)
    if learner.average:
        learner.average.follow(learner.model, step)


def _batches(state: Fit, order: Tensor, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised images (n, 3, H, W) and classes (n) on the device."""
    assert state.train.batch and state.train.augment and state.train.mirror is not None
    how = dataclasses.replace(AUGMENTS[state.train.augment], mirror=state.train.mirror)
    for pixels, classes in state.pixels.batches(order, state.train.batch):
        images = augment(state.scaled(pixels), how, random)
        yield state.normalised(images), classes.to(state.device)


def _validated(state: Fit) -> dict[str, float]:
    model = state.learner.shown.eval()
    with state.autocast():
        return state.objective.evaluate(model, lambda pixels: state.normalised(state.scaled(pixels)), state.held_out)

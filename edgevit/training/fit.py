"""Training: epochs over the data, validation after each, the best and the last checkpoint always whole on disk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevit.data import open_source
from edgevit.data.augment import AUGMENTS, augment
from edgevit.data.dataset import Dataset
from edgevit.errors import BadInput, EdgevitError
from edgevit.training import recipe, run_folder
from edgevit.training.optimiser import CLIP, adamw, learning_rate
from edgevit.training.pixels import Pixels
from edgevit.training.watch import Watch
from edgevit.types import Checkpoint, Progress, TrainConfig, silent
from edgevit.versions import versions
from edgevit.vit.model import ViT


@dataclass
class Fit:
    """All that an epoch needs. `device` is where the model is."""

    train: TrainConfig
    model: ViT
    optimiser: torch.optim.AdamW
    pixels: Pixels
    held_out: Pixels
    device: torch.device
    mean: Tensor
    std: Tensor

    def images(self, pixels: Tensor) -> Tensor:
        """uint8 (n, H, W, 3) to normalised float (n, 3, H, W) on the device; `preprocess.normalise`, in torch."""
        scaled = pixels.to(self.device, non_blocking=True).float() / 255
        return ((scaled - self.mean) / self.std).permute(0, 3, 1, 2).contiguous()

    def logits(self, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model(images).float()


def fit(train: TrainConfig, run: Path, resume: bool, progress: Progress = silent) -> Checkpoint:
    """Train as `train` says in the folder `run` and return its best checkpoint.

    With `resume`, `train` is the run's own and training goes on after its last whole epoch, as if never interrupted: every
    random choice of an epoch follows from the seed and the epoch's number. Raises BadInput, and EdgevitError where the loss
    is no longer a number.
    """
    data = open_source(train.data, train.seed, train.held_out)
    train = recipe.resolve(train, data)
    state, checkpoint = _start(train, data, progress)
    done, best = run_folder.resume(run, state.model, state.optimiser) if resume else (0, -1.0)
    assert train.epochs
    with Watch(run, keep=done) as watch:
        for epoch in range(done + 1, train.epochs + 1):
            loss = _epoch(state, epoch, progress)
            val_loss, top1 = evaluate(state.logits, state.images, state.held_out)
            metrics = {"epoch": float(epoch), "loss": loss, "val_loss": val_loss, "val_top1": top1}
            checkpoint = dataclasses.replace(checkpoint, metrics=metrics)
            run_folder.save(run / "last", state.model, checkpoint, state.optimiser)
            if top1 > best:
                best = top1
                run_folder.save(run / "best", state.model, checkpoint)
            watch.row(metrics)
    return run_folder.finished(run)


def _start(train: TrainConfig, data: Dataset, progress: Progress) -> tuple[Fit, Checkpoint]:
    config, preprocess = recipe.shape(train, data)
    device = choose_device(train.device)
    torch.manual_seed(train.seed)
    model = ViT(config).to(device)
    assert train.lr
    pixels = Pixels(data.train, preprocess, train.on_bad_image, progress)
    held_out = Pixels(data.held_out, preprocess, train.on_bad_image, progress)
    mean, std = (torch.tensor(v, device=device) for v in (preprocess.mean, preprocess.std))
    state = Fit(train, model, adamw(model, train.lr, train.weight_decay), pixels, held_out, device, mean, std)
    train = dataclasses.replace(train, data=_lasting(train.data))
    skipped = (*pixels.skipped, *held_out.skipped)
    return state, Checkpoint(config, preprocess, data.labels, train, {}, "", versions("torch", "numpy", "pillow"), skipped)


def _lasting(data: str) -> str:
    """A path that still leads there from another working directory; a built-in name as it is."""
    return str(Path(data).resolve()) if Path(data).exists() else data


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


def _epoch(state: Fit, epoch: int, progress: Progress) -> float:
    """One pass over the training images; the mean loss."""
    train = state.train
    assert train.batch and train.epochs
    random = torch.Generator().manual_seed(train.seed * 1_000_003 + epoch)
    order = torch.randperm(len(state.pixels), generator=random)
    steps = math.ceil(len(order) / train.batch)
    label = f"epoch {epoch}/{train.epochs}"
    state.model.train()
    total = torch.zeros((), device=state.device)
    for step, (images, classes) in enumerate(_batches(state, order, random)):
        _set_rate(state, (epoch - 1) * steps + step, train.epochs * steps)
        loss = F.cross_entropy(state.logits(images), classes, label_smoothing=train.label_smoothing)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), CLIP)
        state.optimiser.step()
        total += loss.detach() * len(images)
        progress(label, step + 1, steps)
    mean = float(total) / len(order)
    if not math.isfinite(mean):
        hint = f"lower --lr (it is {train.lr:g}); the checkpoint of the epoch before is whole"
        raise EdgevitError(f"the loss is no longer a number, in epoch {epoch}", hint)
    return mean


def _batches(state: Fit, order: Tensor, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    assert state.train.batch
    for pixels, classes in state.pixels.batches(order, state.train.batch):
        yield augment(state.images(pixels), AUGMENTS[state.train.augment], random), classes.to(state.device)


def _set_rate(state: Fit, step: int, steps: int) -> None:
    assert state.train.lr
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(step, steps, state.train.lr, state.train.warmup)


@torch.inference_mode()
def evaluate(logits, to_images, held_out: Pixels) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Mean loss and top-1 (a fraction of 1) on the held-out images."""
    loss, right = 0.0, 0
    for pixels, classes in held_out.batches(torch.arange(len(held_out)), 256):
        out = logits(to_images(pixels)).cpu()
        loss += float(F.cross_entropy(out, classes, reduction="sum"))
        right += int((out.argmax(1) == classes).sum())
    return loss / len(held_out), right / len(held_out)

"""Learning the classes: cross-entropy with smoothed and mixed labels, and what a teacher says of the same images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit import checkpoint as checkpoints
from edgevit.errors import BadInput
from edgevit.training.mix import erased, mixed
from edgevit.training.pixels import Pixels
from edgevit.types import Preprocess, TrainConfig
from edgevit.vit.model import ViT

TEMPERATURE, SHARE = 3.0, 0.5
"""Of soft distillation: what softens both probabilities (arXiv 1503.02531), and the teacher's share of the loss."""


class Teacher:
    """A checkpoint that answers the images of another preprocessing: they are normalised as its own, and resized to its size."""

    def __init__(self, folder: Path, labels: tuple[str, ...], seen: Preprocess, device: torch.device) -> None:
        record, model = checkpoints.load(folder)
        if record.labels != labels:
            raise BadInput(
                f"the teacher {folder} knows other classes than the images", "a teacher and its student have the same classes"
            )
        self.model, self.size = model.to(device).requires_grad_(False), record.config.image_size
        ours, its = (
            [torch.tensor(v, device=device).reshape(1, 3, 1, 1) for v in (p.mean, p.std)] for p in (seen, record.preprocess)
        )
        self.gain, self.shift = ours[1] / its[1], (ours[0] - its[0]) / its[1]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        images = images * self.gain + self.shift
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        return self.model(images)


def differently(logits: Tensor, said: Tensor) -> Tensor:
    """How far the probabilities of `logits` (n, classes) are from those of `said`: (n)."""
    return F.kl_div(F.log_softmax(logits, 1), F.log_softmax(said, 1), reduction="none", log_target=True).sum(1)


def softly(logits: Tensor, said: Tensor) -> Tensor:
    """How far the softened probabilities of `logits` (n, classes) are from those of the teacher's, `said`."""
    softened = F.log_softmax(logits / TEMPERATURE, 1), F.log_softmax(said / TEMPERATURE, 1)
    return F.kl_div(*softened, reduction="batchmean", log_target=True) * TEMPERATURE**2


class Supervised:
    """The objective `classes`. Its best checkpoint has the highest top-1 on the held-out images.

    Where it is only to answer as its teacher does, the one that does so best.
    """

    def __init__(self, train: TrainConfig, classes: int, teacher: Teacher | None) -> None:
        self.train, self.classes, self.teacher = train, classes, teacher
        self.better = "val_loss" if train.distil == "answers" else "val_top1"
        self.extra: nn.Module | None = None

    def loss(self, model: ViT, images: Tensor, classes: Tensor, random: torch.Generator) -> Tensor:
        """Normalised images (n, 3, H, W) and their classes (n) to the mean loss."""
        train, targets = self.train, classes
        if train.mixup or train.cutmix:
            targets = F.one_hot(classes, self.classes).float()
            images, targets = mixed(images, targets, train.mixup or 0.0, train.cutmix or 0.0, random)
        images = erased(images, train.erasing, random) if train.erasing else images
        heads = [logits.float() for logits in model.answers(*model.encode(model.embed(model.patch_embed(images))))]
        said = self.teacher(images).float() if self.teacher else None
        if said is not None and train.distil == "answers":
            return differently(sum(heads[1:], heads[0]) / len(heads), said).mean()
        own = [F.cross_entropy(logits, targets, label_smoothing=train.label_smoothing or 0.0) for logits in heads]
        if said is None:
            return sum(own[1:], own[0]) / len(own)
        if train.distil == "token":  # DeiT's hard distillation, its equation 3
            return (own[0] + F.cross_entropy(heads[1], said.argmax(1))) / 2
        taught = [softly(logits, said) for logits in heads]
        return ((1 - SHARE) * sum(own[1:], own[0]) + SHARE * sum(taught[1:], taught[0])) / len(heads)

    @torch.inference_mode()
    def evaluate(self, model: ViT, to_images, held_out: Pixels) -> dict[str, float]:  # type: ignore[no-untyped-def]
        """Mean loss and top-1 (a fraction of 1) on the held-out images."""
        loss, right, count = 0.0, 0, 0  # bad ones among images in shards are left out when they are met
        for pixels, classes in held_out.batches(torch.arange(len(held_out)).split(256)):
            images, classes = to_images(pixels), classes.cpu()
            count += len(classes)
            out = model(images).float().cpu()
            if self.teacher and self.train.distil == "answers":
                loss += float(differently(out, self.teacher(images).float().cpu()).sum())
            else:
                loss += float(F.cross_entropy(out, classes, reduction="sum"))
            right += int((out.argmax(1) == classes).sum())
        return {"val_loss": loss / max(1, count), "val_top1": right / max(1, count)}

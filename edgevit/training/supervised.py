"""Learning the classes: cross-entropy with smoothed and mixed labels, and what a teacher says of the same images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit import checkpoint as checkpoints
from edgevit.data.drawing import Draws
from edgevit.errors import BadInput
from edgevit.training.mix import erased, mixed
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


class Supervised(nn.Module):
    """The objective `classes`. Its best checkpoint has the highest top-1 on the held-out images.

    Where it is only to answer as its teacher does, the one that does so best.
    """

    extra: nn.Module | None = None

    def __init__(self, model: ViT, train: TrainConfig, classes: int, teacher: Teacher | None) -> None:
        super().__init__()
        self.model, self.train_config, self.classes, self.teacher = model, train, classes, teacher
        self.better = "val_loss" if train.distil == "answers" else "val_top1"

    def around(self, model: ViT) -> Supervised:
        return Supervised(model, self.train_config, self.classes, self.teacher)

    def prepared(self, images: Tensor, classes: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """Normalised images (n, 3, H, W) and their classes (n) to images, targets and what the teacher says (n, classes)."""
        train, targets = self.train_config, classes
        if train.mixup or train.cutmix:
            targets = F.one_hot(classes, self.classes).float()
            images, targets = mixed(images, targets, train.mixup or 0.0, train.cutmix or 0.0, draws)
        images = erased(images, train.erasing, draws) if train.erasing else images
        return (images, targets, self.teacher(images).float()) if self.teacher else (images, targets)

    def forward(self, images: Tensor, targets: Tensor, said: Tensor | None = None) -> Tensor:
        """What `prepared` gives to the mean loss."""
        train, model = self.train_config, self.model
        heads = [logits.float() for logits in model.answers(*model.encode(model.embed(model.patch_embed(images))))]
        if said is not None and train.distil == "answers":
            return differently(sum(heads[1:], heads[0]) / len(heads), said).mean()
        own = [F.cross_entropy(logits, targets, label_smoothing=train.label_smoothing or 0.0) for logits in heads]
        if said is None:
            return sum(own[1:], own[0]) / len(own)
        if train.distil == "token":  # DeiT's hard distillation, its equation 3
            return (own[0] + F.cross_entropy(heads[1], said.argmax(1))) / 2
        taught = [softly(logits, said) for logits in heads]
        return ((1 - SHARE) * sum(own[1:], own[0]) + SHARE * sum(taught[1:], taught[0])) / len(heads)

    def tally(self, images: Tensor, classes: Tensor, number: int) -> Tensor:
        """Sum of the losses, right answers, images."""
        out, classes = self.model(images).float().cpu(), classes.cpu()
        if self.teacher and self.train_config.distil == "answers":
            loss = differently(out, self.teacher(images).float().cpu()).sum()
        else:
            loss = F.cross_entropy(out, classes, reduction="sum")
        right = (out.argmax(1) == classes).sum()
        return torch.tensor([float(loss), float(right), len(out)], dtype=torch.float64)

    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Mean loss and top-1 (a fraction of 1)."""
        loss, right, images = sums.tolist()
        return {"val_loss": loss / max(1, images), "val_top1": right / max(1, images)}

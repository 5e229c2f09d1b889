"""What is learned, as a module: its parameters are the model's and what is learned besides, its forward is the loss.

So all that wraps a module (several workers, sharding, compiling) wraps the whole of a step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from edgevit.data.drawing import Draws
from edgevit.training.masked import MaskedPatches
from edgevit.training.supervised import Supervised, Teacher
from edgevit.types import Preprocess, TrainConfig
from edgevit.vit.model import ViT

Objective = Supervised | MaskedPatches


class Learned(Protocol):
    """What an objective is to a step."""

    better: str
    """The metric that chooses the best checkpoint."""
    extra: nn.Module | None
    """What is learned besides the model."""

    def prepared(self, images: Tensor, classes: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """Normalised images (n, 3, H, W) and classes (n) to what the loss takes: all that is random, and what a teacher says."""
        ...

    def forward(self, *prepared: Tensor) -> Tensor:
        """The mean loss."""
        ...

    def tally(self, images: Tensor, classes: Tensor, number: int) -> Tensor:
        """Of batch `number` of the held-out images: the sums, on the CPU in float64, whose ratios are the metrics."""
        ...

    def metrics(self, sums: Tensor) -> dict[str, float]: ...

    def around(self, model: ViT) -> nn.Module:
        """The same objective for another model of the same shape: the average of the weights."""
        ...


def objective(train: TrainConfig, model: ViT, preprocess: Preprocess, labels: tuple[str, ...], device: torch.device) -> Objective:
    """The objective of a resolved `train` for a model on the device."""
    if train.objective == "masked patches":
        return MaskedPatches(model, preprocess).to(device)
    teacher = Teacher(Path(train.teacher), labels, preprocess, device) if train.teacher else None
    return Supervised(model, train, len(labels), teacher)

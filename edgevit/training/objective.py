"""What is learned, as a module: its parameters are the model's and what is learned besides, its forward is the loss.

So all that wraps a module (several workers, sharding, compiling) wraps the whole of a step. `prepared` comes before it: all that
is random, and what a teacher says. `tally` gives the sums of a held-out batch whose ratios are the `metrics`; `better` is the one
that chooses the best checkpoint. `extra` is what is learned besides the model, `around` the same for another model of its shape.
"""

from __future__ import annotations

from pathlib import Path

import torch

from edgevit.training.masked import MaskedPatches
from edgevit.training.supervised import Supervised, Teacher
from edgevit.types import Preprocess, TrainConfig
from edgevit.vit.model import ViT

Objective = Supervised | MaskedPatches


def objective(train: TrainConfig, model: ViT, preprocess: Preprocess, labels: tuple[str, ...], device: torch.device) -> Objective:
    """The objective of a resolved `train` for a model on the device."""
    if train.objective == "masked patches":
        return MaskedPatches(model, preprocess).to(device)
    teacher = Teacher(Path(train.teacher), labels, preprocess, device) if train.teacher else None
    return Supervised(model, train, len(labels), teacher)

"""The folder of a training run: `best/` and `last/` checkpoints, each replaced whole, and how a run goes on from there."""

from __future__ import annotations

from pathlib import Path

import torch

from edgevit import checkpoint as checkpoints
from edgevit.folder import written_whole
from edgevit.training.run_settings import metric
from edgevit.types import Checkpoint
from edgevit.vit.model import ViT

OPTIMISER = "optimiser.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save(into: Path, model: ViT, checkpoint: Checkpoint, optimiser: torch.optim.AdamW | None = None) -> None:
    """Replace the checkpoint folder `into` by a new one, in one step."""
    with written_whole(into, checkpoints.RECORD, force=True) as partial:
        checkpoints.save(partial, model, checkpoint)
        if optimiser:
            checkpoints.write_tensors(_moments(model, optimiser), partial / OPTIMISER)


def _moments(model: ViT, optimiser: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {f"{names[id(p)]}/{key}": state[key].cpu() for p, state in optimiser.state.items() for key in MOMENTS}


def resume(run: Path, model: ViT, optimiser: torch.optim.AdamW) -> tuple[int, float]:
    """Fill model and optimiser from the last checkpoint of `run`; return its epoch, and the best top-1 so far."""
    checkpoint, saved = checkpoints.load(run / "last")
    model.load_state_dict(saved.state_dict())
    file = run / "last" / OPTIMISER
    tensors = checkpoints.read_tensors(file)
    shapes = {f"{name}/{key}": () if key == "step" else tuple(p.shape) for name, p in model.named_parameters() for key in MOMENTS}
    checkpoints.match(tensors, shapes, file)
    for name, p in model.named_parameters():
        optimiser.state[p] = {k: tensors[f"{name}/{k}"].to("cpu" if k == "step" else p.device) for k in MOMENTS}
    return int(metric(checkpoint, "epoch")), metric(checkpoints.read(run / "best"), "val_top1")


def finished(run: Path) -> Checkpoint:
    return checkpoints.read(run / "best")

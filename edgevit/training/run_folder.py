"""The folder of a training run: `best/` and `last/` checkpoints, each replaced whole, and how a run goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from edgevit import checkpoint as checkpoints
from edgevit.folder import written_whole
from edgevit.training.average import Average
from edgevit.training.run_settings import STATE, metric
from edgevit.types import Checkpoint
from edgevit.vit.model import ViT


class Rounds(Protocol):
    """What rounds the Linears of a model while it learns to live with that. No parameter changes its name."""

    images: int
    """How many it looks at before."""

    def prepare(self, model: ViT, images: Tensor) -> None:
        """Let `model`, on the CPU, compute with rounded Linears; `images` (n, 3, H, W) are some that it will see, normalised."""
        ...

    def save(self, model: ViT, into: Path) -> None:
        """Write what the Linears are rounded to beside the weights in the folder `into`."""
        ...


@dataclass
class Learner:
    """All that changes while a run goes on. `extra` is what the objective needs besides the model."""

    model: ViT
    extra: nn.Module | None
    optimiser: torch.optim.Optimizer
    average: Average | None
    rounds: Rounds | None = None

    @property
    def shown(self) -> ViT:
        """The model that is evaluated and kept."""
        return self.average.model if self.average else self.model


def parameters(model: ViT, extra: nn.Module | None) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters()) | (dict(extra.named_parameters()) if extra else {})


def save_best(run: Path, learner: Learner, checkpoint: Checkpoint) -> None:
    _replace(run / "best", learner, checkpoint, None)


def save_last(run: Path, learner: Learner, checkpoint: Checkpoint) -> None:
    _replace(run / "last", learner, checkpoint, _state(learner))


def _replace(into: Path, learner: Learner, checkpoint: Checkpoint, state: dict[str, Tensor] | None) -> None:
    with written_whole(into, checkpoints.RECORD, force=True) as partial:
        if learner.rounds:
            learner.rounds.save(learner.shown, partial)
        checkpoints.save(partial, learner.shown, checkpoint)
        if state is not None:
            checkpoints.write_tensors(state, partial / STATE)


def _state(learner: Learner) -> dict[str, Tensor]:
    names = {id(p): name for name, p in parameters(learner.model, learner.extra).items()}
    state = {
        f"optimiser/{names[id(p)]}/{key}": value
        for p, values in learner.optimiser.state.items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }
    if learner.extra:
        state |= {f"extra/{name}": value for name, value in learner.extra.state_dict().items()}
    if learner.average:  # then that is the model of the checkpoint, for its metrics are the average's
        state |= {f"trained/{name}": value for name, value in learner.model.state_dict().items()}
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def resume(run: Path, learner: Learner) -> Checkpoint:
    """Fill the learner from the last checkpoint of `run`, and return its record. Raises DamagedFile where they do not fit."""
    checkpoint, saved = checkpoints.load(run / "last")
    learner.shown.load_state_dict(saved.state_dict())
    file = run / "last" / STATE
    tensors = checkpoints.read_tensors(file)
    checkpoints.match(tensors, _shapes(learner), file)
    for name, p in parameters(learner.model, learner.extra).items():
        if p.requires_grad:
            keys = _keys(learner.optimiser)
            learner.optimiser.state[p] = {
                k: tensors[f"optimiser/{name}/{k}"].to("cpu" if k == "step" else p.device) for k in keys
            }
    for kind, module in _others(learner):
        if module:
            module.load_state_dict({n.removeprefix(f"{kind}/"): t for n, t in tensors.items() if n.startswith(f"{kind}/")})
    return checkpoint


def _others(learner: Learner) -> tuple[tuple[str, nn.Module | None], ...]:
    """What is kept beside the model that is shown."""
    return ("extra", learner.extra), ("trained", learner.model if learner.average else None)


def _keys(optimiser: torch.optim.Optimizer) -> tuple[str, ...]:
    return ("momentum_buffer",) if isinstance(optimiser, torch.optim.SGD) else ("exp_avg", "exp_avg_sq", "step")


def _shapes(learner: Learner) -> dict[str, tuple[int, ...]]:
    found = {
        f"optimiser/{name}/{key}": () if key == "step" else tuple(p.shape)
        for name, p in parameters(learner.model, learner.extra).items()
        for key in _keys(learner.optimiser)
        if p.requires_grad
    }
    for kind, module in _others(learner):
        if module:
            found |= {f"{kind}/{name}": tuple(t.shape) for name, t in module.state_dict().items()}
    return found


def has_best(run: Path) -> bool:
    return (run / "best" / checkpoints.RECORD).exists()


def best_so_far(run: Path, name: str) -> float:
    return metric(checkpoints.read(run / "best"), name)


def finished(run: Path) -> Checkpoint:
    return checkpoints.read(run / "best")

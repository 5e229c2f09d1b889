"""The folder of a training run: `best/` and `last/` checkpoints, each replaced whole, and how a run goes on from there.

What several workers share is written by all of them and read by as many as there are then: the files are the same in any case.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from edgevit import checkpoint as checkpoints
from edgevit import folder, record
from edgevit.training.average import Average
from edgevit.training.position import Position
from edgevit.training.run_settings import BEFORE, BEST, LAST, POSITION, STATE, metric
from edgevit.training.workers import Workers
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
    crew: Workers
    sharded: bool = False
    rounds: Rounds | None = None

    @property
    def shown(self) -> ViT:
        """The model that is evaluated and kept."""
        return self.average.model if self.average else self.model


def parameters(model: ViT, extra: nn.Module | None) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters()) | (dict(extra.named_parameters()) if extra else {})


def save_best(run: Path, learner: Learner, checkpoint: Checkpoint) -> None:
    _replace(run / BEST, learner, checkpoint, None)


def save_last(run: Path, learner: Learner, checkpoint: Checkpoint, position: Position) -> None:
    """The checkpoint that was the last is then the one before it."""
    if learner.crew.first and (run / LAST).exists():
        folder.keep_linked(run / LAST, run / BEFORE)
    _replace(run / LAST, learner, checkpoint, position)


def _replace(into: Path, learner: Learner, checkpoint: Checkpoint, position: Position | None) -> None:
    """All workers come here; the first one writes, where the parameters are not spread over them."""
    if not (learner.crew.first or learner.sharded):
        return
    whole = folder.written_whole(into, checkpoints.RECORD, force=True) if learner.crew.first else nullcontext(into)
    with whole as partial:
        state = {} if position is None else _state(learner)
        if learner.sharded:
            from edgevit.training import shared  # which takes most of a second, and few want it

            shared.write(partial, learner.shown.state_dict(), state, learner.crew)
        if not learner.crew.first:
            return
        if learner.rounds:
            learner.rounds.save(learner.shown, partial)
        if not learner.sharded:
            weights = learner.shown.state_dict()
            for name, tensors in ((checkpoints.WEIGHTS, weights), *([] if position is None else [(STATE, state)])):
                checkpoints.write_tensors({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, partial / name)
        checkpoints.describe(partial, checkpoint)
        if position is not None:
            record.write(partial / POSITION, dataclasses.replace(position, state_sha256=folder.sha256(partial / STATE)))


def _state(learner: Learner) -> dict[str, Tensor]:
    """What else a run needs to go on, by its names in the file."""
    if not learner.optimiser.state:  # before the first step
        return _empty(learner)
    names = {id(p): name for name, p in parameters(learner.model, learner.extra).items()}
    state = {
        f"optimiser/{names[id(p)]}/{key}": value
        for p, values in learner.optimiser.state.items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }
    for kind, module in _others(learner):
        if module:
            state |= {f"{kind}/{name}": value for name, value in module.state_dict().items()}
    return state


def resume(run: Path, learner: Learner) -> tuple[Checkpoint, Position]:
    """Fill the learner from the last checkpoint of `run`. Raises DamagedFile where they do not fit."""
    last = run / LAST
    state = _empty(learner)
    if learner.sharded:
        from edgevit.training import shared

        shared.read(last, learner.shown.state_dict(), state)
    else:
        learner.shown.load_state_dict(checkpoints.load(last)[1].state_dict())
        tensors = checkpoints.read_tensors(last / STATE)
        checkpoints.match(tensors, {name: tuple(t.shape) for name, t in state.items()}, last / STATE)
        for name, tensor in state.items():
            tensor.detach().copy_(tensors[name])
    for name, p in parameters(learner.model, learner.extra).items():
        if p.requires_grad:
            learner.optimiser.state[p] = {key: state[f"optimiser/{name}/{key}"] for key in _keys(learner.optimiser)}
    return checkpoints.read(last), record.read(last / POSITION, Position)


def _empty(learner: Learner) -> dict[str, Tensor]:
    """As `_state` of a learner that has made a step; what is a parameter's or a buffer's own is itself, to be filled."""
    state = {
        f"optimiser/{name}/{key}": torch.zeros((), device=p.device) if key == "step" else torch.zeros_like(p)
        for name, p in parameters(learner.model, learner.extra).items()
        for key in _keys(learner.optimiser)
        if p.requires_grad
    }
    for kind, module in _others(learner):
        if module:
            state |= {f"{kind}/{name}": value for name, value in module.state_dict().items()}
    return state


def _others(learner: Learner) -> tuple[tuple[str, nn.Module | None], ...]:
    """What is kept beside the model that is shown: where that is the average, the one that is trained."""
    return ("extra", learner.extra), ("trained", learner.model if learner.average else None)


def _keys(optimiser: torch.optim.Optimizer) -> tuple[str, ...]:
    return ("momentum_buffer",) if isinstance(optimiser, torch.optim.SGD) else ("exp_avg", "exp_avg_sq", "step")


def has_best(run: Path) -> bool:
    return (run / BEST / checkpoints.RECORD).exists()


def best_so_far(run: Path, name: str) -> float:
    return metric(checkpoints.read(run / BEST), name)


def finished(run: Path) -> Checkpoint:
    return checkpoints.read(run / BEST)

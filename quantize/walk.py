"""A model walked through block by block on calibration images: what is changed on the way is seen by all that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from edgevit.vit.model import ViT
from quantize.observe import BATCH, Entering, entering
from quantize.quantized import linears
from quantize.ranges import Seen, around

State = tuple[Tensor, Tensor | None, Tensor | None]
"""A sequence, how many patches each of its tokens stands for, and the logarithm of that."""
Step = Callable[[State], State]


@dataclass(frozen=True)
class Room:
    """A part of `model`, the names of its Linears in the order in which they compute, and what comes to it for each batch."""

    model: ViT
    names: tuple[str, ...]
    step: Step
    states: list[State]

    def entering(self, names: tuple[str, ...]) -> dict[str, Entering]:
        """What enters these of its Linears, as the model now is."""
        return entering(self.model, names, self.left)

    def around(self, name: str) -> tuple[Seen, list[Seen]]:
        """What enters and what leaves one of its Linears, as the model now is."""
        return around(self.model, name, self.left)

    def left(self) -> list[State]:
        return [self.step(state) for state in self.states]


@torch.no_grad()
def rooms(model: ViT, images: Tensor) -> Iterator[Room]:
    """Every block, and last what answers. What leaves a room is computed once whoever asked for it goes on to the next."""
    every = [name for name, _ in linears(model)]
    states: list[State] = [(model.embed(model.patch_embed(batch)), None, None) for batch in images.split(BATCH)]
    for number in range(1, len(model.blocks) + 1):
        names = tuple(name for name in every if name.startswith(f"blocks.{number - 1}."))
        room = Room(model, names, partial(_block, model, number), states)
        yield room
        states = room.left()
    yield Room(model, tuple(name for name in every if not name.startswith("blocks.")), partial(_answer, model), states)


def _block(model: ViT, number: int, state: State) -> State:
    return model.step(number, *state)


def _answer(model: ViT, state: State) -> State:
    x, sizes, _ = state
    return model.answers(x, sizes)[0], None, None

"""What a Linear can make good of the errors that were made before it.

Behind quantized layers a Linear gets x' where the float model has x. The matrix nearest to the old one that gives W x from x', as
far as the two are related, is W + D, with D from least squares over the calibration images; that is the one to be rounded
(GPTAQ, Li et al., arXiv 2504.02692, rounds and corrects in one). A Linear that writes to the residual stream can also give back
what the stream has lost. D is held small by a ridge: some hundred images show less of how errors are related than it seems.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantize.observe import Entering
from quantize.walk import Room, State

RIDGE = 4.0
"""Of the second moments, as a share of their mean diagonal. On DeiT-Ti 1 to 16 do as well, 0.1 does harm."""
STREAMS = {"attn.proj": "norm1", "mlp.fc2": "norm2"}
"""Linears that write to the stream, and the norm that reads it before them."""


@dataclass
class Lack:
    """What the outputs of a Linear lack, over all tokens: `mean` (out), and `cross` (out, in), the mean of lack times input."""

    mean: Tensor
    cross: Tensor
    count: int = 0

    def add(self, lack: Tensor, x: Tensor) -> None:
        lack, x = lack.flatten(0, -2), x.flatten(0, -2)
        self.count += len(x)
        share = len(x) / self.count
        self.mean += share * (lack.mean(0) - self.mean)
        self.cross += share * (lack.T @ x / len(x) - self.cross)


@torch.no_grad()
def lack(name: str, plain: Room, room: Room) -> tuple[Entering, Lack]:
    """What enters the Linear `name` as it now is in the model of `room`, and what its outputs lack of the float model's.

    `plain` is the room of that one, with the same images.
    """
    linear, wanted = room.model.get_submodule(name), plain.model.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    seen = Entering.nothing(linear.in_features)
    found = Lack(torch.zeros(linear.out_features), torch.zeros(linear.out_features, linear.in_features))
    norm = next((name.removesuffix(end) + norm for end, norm in STREAMS.items() if name.endswith(end)), "")
    for expected, state in zip(plain.states, room.states, strict=True):
        x, stream = _inputs((name, norm), room, state)
        wanted_x, wanted_stream = _inputs((name, norm), plain, expected)
        lacks = wanted(wanted_x) - F.linear(x, linear.weight, linear.bias)
        if norm:
            lacks = lacks + wanted_stream - stream
        seen.add(x)
        found.add(lacks, x)
    return seen, found


def _inputs(names: tuple[str, str], room: Room, state: State) -> tuple[Tensor, Tensor]:
    """What enters the two modules for one batch; nothing for the name ''."""
    seen: dict[str, Tensor] = {"": torch.zeros(())}
    hooks = [
        room.model.get_submodule(name).register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
        for name in names
        if name
    ]
    try:
        room.step(state)
    finally:
        for hook in hooks:
            hook.remove()
    return seen[names[0]], seen[names[1]]


def corrected(weight: Tensor, lacking: Lack, seen: Entering) -> Tensor:
    """W + D for the matrix (out, in) of a Linear that gets `seen`."""
    covariance = (seen.second - seen.mean[:, None] * seen.mean).double()
    covariance += torch.eye(len(covariance)) * RIDGE * covariance.diagonal().mean().clamp_min(1e-12)
    related = (lacking.cross - lacking.mean[:, None] * seen.mean).double()
    return weight + torch.linalg.solve(covariance, related.T).T.to(weight.dtype)

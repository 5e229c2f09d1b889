"""A rewrite is a value; a list of them is applied in order, and each is proven before the next."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters.linear import dequantized, quantized
from converters.rewrite.parts import Authored
from edgevit import memory
from edgevit.errors import EdgevitError
from edgevit.onednn import ByOneDNN
from edgevit.types import Rewritten
from edgevit.vit.model import ViT

EXACT = 1e-9
"""Relative difference in float64 above which a rewrite is not the same function."""
EXACT_SINGLE = 1e-5
"""The same in float32, on real images: sums in another order differ by 2e-6 in DeiT-Ti, 9e-7 in a random L/16."""

Once = Callable[[str, Callable[[], list[float]]], list[float]]
"""What was measured under such words, or what is measured now."""
Held = Callable[[], AbstractContextManager[object]]
"""What is held while much memory is needed."""


def afresh(words: str, measure: Callable[[], list[float]]) -> list[float]:
    return measure()


@dataclass(frozen=True)
class Rewrite:
    """The same function in other words.

    `apply` changes the model in place and returns how many parts it replaced. One that is not `exact` changes the function: it
    is applied when a user asks for it or where the back end computes nothing else, after all others, and its figures say what it
    cost. `float_only`: it would change the integers of a quantized Linear.
    """

    name: str
    replaces: str
    why: str
    apply: Callable[[Authored], int]
    float_only: bool = False
    exact: bool = True


class _Copy:
    """The model in one precision, on which rewrites are tried. `once` keeps what others measure of a copy of the same words.

    `vit` gives what is copied, which the rewrites then change: it is not asked for where others have measured all.
    """

    @torch.no_grad()
    def __init__(self, vit: Callable[[], ViT], images: Tensor, once: Once) -> None:
        self.images, self._vit, self._once = images, vit, once
        self._made: Authored | None = None
        self._replaced: list[str] = []
        self._left: list[tuple[Rewrite, int]] = []
        expected = once(f"{images.dtype}", lambda: self._first(images).flatten().tolist())
        self._expected = torch.tensor(expected, dtype=images.dtype).reshape(len(images), -1)

    def _first(self, images: Tensor) -> Tensor:
        """What the model answers that is copied."""
        vit = self._vit()
        self._made = Authored(vit)  # of the same parts, which nothing has changed yet
        return _answers(vit, images)

    @property
    def model(self) -> Authored:
        """The copy, with every rewrite that was applied; those too that were only counted so far."""
        self._made = self._made or Authored(self._vit())
        while self._left:
            rewrite, parts = self._left.pop(0)
            found = rewrite.apply(self._made)
            assert found == parts, f"{rewrite.name} replaced {found} parts in one copy and {parts} in another"
        return self._made

    def apply(self, rewrite: Rewrite) -> int:
        """How many parts it replaced."""
        here: list[float] = []

        def applied() -> list[float]:
            here.append(rewrite.apply(self.model))
            return here

        parts = int(self._once(f"{self.images.dtype}: parts of {rewrite.name} behind {self._replaced}", applied)[0])
        if not here:
            self._left.append((rewrite, parts))
        if parts:
            self._replaced.append(rewrite.name)
        return parts

    def difference(self, on: Sequence[int]) -> float:
        """How far the answers to some of the images are from the checkpoint's, relative."""
        return self._once(f"{self.images.dtype} {list(on)} {self._replaced}", lambda: [self._difference(on)])[0]

    @torch.no_grad()
    def _difference(self, on: Sequence[int]) -> float:
        answered = _answers(lambda image: self.model(self.model.given(image)), self.images[list(on)])
        expected = self._expected[list(on)]
        return float((answered - expected).norm() / expected.norm().clamp_min(1e-30))


def _answers(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    with ByOneDNN():
        return torch.cat([model(image) for image in images.split(1)])


def rewritten(
    vit: ViT, rewrites: Sequence[Rewrite], images: Tensor, once: Once = afresh, beside: Held = nullcontext
) -> tuple[Authored, tuple[Rewritten, ...]]:
    """A copy of `vit` with the `rewrites` applied in order, and what each did.

    After each, a float64 twin of the model answers a random image and a float32 one answers the next of `images` (n, 3, H, W),
    after the last all of them, as the checkpoint does; or EdgevitError names the rewrite. One twin is done with before the next
    is made: they are large. `once` may know what the same rewrites of the same model gave, and `beside` is held while the larger
    twin is there.
    """
    whole = any(isinstance(module, nn.Linear) and quantized(module) for module in vit.modules())
    chosen = [rewrite for rewrite in rewrites if not (rewrite.float_only and whole)]
    height, width = vit.config.image_size
    random = torch.randn(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with beside():
        double = _proven(_Copy(lambda: dequantized(vit).double(), random, once), chosen, EXACT)
        memory.trim()
    copied = _Copy(lambda: dequantized(vit), images, once)
    single = _proven(copied, chosen, EXACT_SINGLE)
    if whole:
        del copied
        model = Authored(copy.deepcopy(vit))
        assert [rewrite.apply(model) for rewrite in chosen] == [parts for parts, _ in single]
    else:
        model = copied.model
    done = []
    for rewrite, (parts, float64), (others, float32) in zip(chosen, double, single, strict=True):
        assert parts == others, f"{rewrite.name} replaced {parts} parts in one copy and {others} in another"
        if parts:
            done.append(Rewritten(rewrite.name, rewrite.replaces, rewrite.why, rewrite.exact, parts, float64, float32))
    return model.eval().requires_grad_(False), tuple(done)


def _proven(copied: _Copy, rewrites: Sequence[Rewrite], most: float) -> list[tuple[int, float]]:
    """Apply the `rewrites` to the copy: of each, how many parts it replaced and how far the answers are from the checkpoint's.

    Raises EdgevitError where that is more than `most`, relative, for one that should be exact.
    """
    found: list[tuple[int, float]] = []
    images = itertools.cycle(range(len(copied.images)))
    for rewrite in rewrites:
        parts = copied.apply(rewrite)
        found.append((parts, copied.difference([next(images)]) if parts else 0.0))
        _require_exact(rewrite, found[-1][1], most, copied.images.dtype)
    last = max((number for number, (parts, _) in enumerate(found) if parts), default=None)
    if last is not None and len(copied.images) > 1:
        found[last] = found[last][0], copied.difference(range(len(copied.images)))
        _require_exact(rewrites[last], found[last][1], most, copied.images.dtype)
    return found


def _require_exact(rewrite: Rewrite, apart: float, most: float, precision: torch.dtype) -> None:
    if rewrite.exact and not apart <= most:
        words = f"relative difference {apart:.1e} in {str(precision).removeprefix('torch.')}"
        raise EdgevitError(f"the rewrite '{rewrite.name}' is not exact: {words}")

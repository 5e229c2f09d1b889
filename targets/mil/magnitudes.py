"""Which operators of a package hold values that float16 does not: found before an export keeps them in float32, and when it runs.

The values are those of the package itself, its weights as they are stored, computed in float32 on real images. What an operator
sums up within itself nobody sees from outside; half of the range is left for that, and for images that are not among these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevit.types import Island
from targets.mil import package, program
from targets.mil.program import Program, Slot, Step
from targets.mil.values import stored

LARGEST = 65504.0
"""The largest number of float16."""
LIMIT = LARGEST / 2
"""Above it on the images at hand, an operator is kept in float32. Others may have larger values: on 250 images DeiT-Ti operators
reach at most 1.73 times what they reach on 16 of them (docs/log.md)."""
FIRST, CLEAR = 4, LIMIT / 8
"""Images that are looked at first, and what no operator may exceed on them for the others not to be looked at: on 500 images no
value of DeiT-Ti's was 3.94 times what it was on four of them, of a thousand choices of four (docs/log.md)."""

HALVED = re.compile(r"_(?:cast|to)_fp16(?:_\d+)?$")
"""What coremltools puts behind the name of a value that it turns to float16."""
PARAMETER = re.compile(r"^p_((?:blocks_\d+_)?\w+?)_(?:weight|bias|gain|shift)$")


def too_large(path: Path, images: NDArray[Any]) -> tuple[Island, ...]:
    """The operators of the package at `path` that read or write in float16 what comes near its end, on `images` (N, 3, H, W),
    or pixels (N, H, W, 3) where it takes those.

    Raises DamagedFile and EdgevitError as the evaluator does.
    """
    if not package.read(path).halves:
        return ()
    found = program.read(path)
    halves = {slot.place for step in found.steps for slot in step.outputs if slot.kind == "fp16"}
    entering = torch.from_numpy(images)
    entering = entering.permute(0, 3, 1, 2).float() if found.pixels else entering

    def touched(some: Tensor) -> dict[Step, float]:
        largest = _largest(found, some)
        return {step: max((largest[place] for place in step.values & halves), default=0.0) for step in found.steps}

    most = touched(entering[:FIRST])
    if max(most.values(), default=0.0) > CLEAR:
        most = touched(entering)
    where = places(found)
    return tuple(
        Island(HALVED.sub("", step.outputs[0].name), step.kind, where[step.name], reached)
        for step, reached in most.items()
        if reached > LIMIT
    )


def _largest(found: Program, images: Tensor) -> Mapping[int, float]:
    """By the place of each value, how large it gets when nothing is rounded to float16."""
    single = replace(found, image=_widened(found.image), steps=tuple(
        replace(step, outputs=tuple(map(_widened, step.outputs))) for step in found.steps
    ))  # fmt: skip
    known = [slot.place for step in single.steps for slot in step.outputs]

    def reached(image: Tensor) -> Tensor:
        largest: dict[int, Tensor] = {}
        single.evaluate(image, lambda values: largest.update({at: _magnitude(each) for at, each in values.items()}))
        return torch.stack([largest[place] for place in known])

    return dict(zip(known, single.mapped(reached)(images[:, None]).amax(0).tolist(), strict=True))


def _magnitude(value: Tensor) -> Tensor:
    """What is no number counts as infinite: it would hide how large the values of other images are."""
    return value.float().abs().amax().nan_to_num(nan=torch.inf, posinf=torch.inf)


def _widened(slot: Slot) -> Slot:
    return replace(slot, kind="fp32") if slot.kind == "fp16" else slot


def places(found: Program) -> dict[str, str]:
    """By the name of each step, the part of the model whose weights it reads, or that it comes after."""
    known, last = {}, ""
    for step in found.steps:
        own = next((match[1] for name in step.named if (match := PARAMETER.match(HALVED.sub("", name)))), "")
        last = own.replace("_", ".") if own else last
        known[step.name] = last if own or not last else f"after {last}"
    return known


def overflow(found: Program, image: Tensor) -> str:
    """The first operator whose value was finite and is not once it is stored in float16, for one `image`; empty where none is."""
    values = {**found.constants, found.image.place: stored(image, found.image.kind)}
    for step, finite in _stored(found, values):
        if finite and not all(_finite(values, slot.place) for slot in step.outputs):
            where = places(found)[step.name]
            return f"{HALVED.sub('', step.outputs[0].name)} ({', '.join(filter(None, [step.kind, where]))})"
    return ""


def _stored(found: Program, values: dict[int, Tensor | str]) -> Iterator[tuple[Step, bool]]:
    """Each step after it was taken, and whether what it gave was finite before it was stored."""
    for step in found.steps:
        finite = all(bool(value.isfinite().all()) for value in step.computed(values))
        step.run(values, found.package)
        yield step, finite


def _finite(values: Mapping[int, Tensor | str], place: int) -> bool:
    value = values[place]
    return isinstance(value, str) or bool(value.isfinite().all())

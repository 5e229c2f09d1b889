"""Batches that fit in memory: which is the largest, and what is said where one did not."""

from __future__ import annotations

import dataclasses
import gc
from pathlib import Path

import torch

from edgevit import memory
from edgevit.data.drawing import draws
from edgevit.errors import BadInput, OutOfMemory
from edgevit.training.engine import Engine
from edgevit.types import TrainConfig

MOMENTS = 2
"""Numbers that AdamW keeps for each parameter, of which there are none before the first step."""
MARGIN = 0.9
"""Of the memory that is left, what may be used: it comes in pieces."""


def chosen(engine: Engine) -> TrainConfig:
    """The settings with a batch that fits, and as many batches to a step as make up for it: a step sees as many images.

    Raises BadInput where workers share the parameters: one that ran out of memory would leave the others waiting.
    """
    train = engine.train
    assert train.batch
    if engine.sharded:
        raise BadInput("--auto-batch cannot try with --parallel fsdp", "give --batch, and --accumulate for what does not fit")
    images = train.batch * train.accumulate
    fitting = -engine.crew.largest(-largest(engine, engine.full)) * engine.crew.count
    if fitting >= train.batch:
        return train
    accumulate = -(-images // fitting)
    return dataclasses.replace(train, batch=-(-images // accumulate), accumulate=accumulate)


def too_large(engine: Engine) -> OutOfMemory:
    """The error for a step that did not fit, with what would. The failed step's tensors have to be gone."""
    train = engine.train
    assert train.batch
    said = f"out of memory on {engine.crew.device} with {engine.full} images in a batch of one worker"
    if engine.sharded or engine.full == 1:
        return OutOfMemory(said, "a smaller --batch, --recompute, or a smaller model")
    try:
        fitting = largest(engine, engine.full - 1) * engine.crew.count
    except OutOfMemory as error:
        return error
    accumulate = -(-train.batch * train.accumulate // fitting)
    return OutOfMemory(
        said,
        f"--batch {fitting} --accumulate {accumulate} fits and learns the same; --auto-batch finds it, --recompute needs less",
    )


def ran_out(error: BaseException) -> bool:
    """Whether memory was what an error is about: the CPU's allocator has no error of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def largest(engine: Engine, most: int) -> int:
    """The largest batch of one worker, of at most so many images, that fits. Raises OutOfMemory where not one image does."""
    return _by_line(engine, most) if engine.crew.device.type == "cpu" else _by_trying(engine, most)


def _by_trying(engine: Engine, most: int) -> int:
    low = most
    while not _fits(engine, low):
        low //= 2
        if not low:
            raise OutOfMemory("out of memory with a single image in a batch", "--recompute, a smaller model, or smaller images")
    high = min(most, 2 * low)
    for _ in range(3):
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle > low and _fits(engine, middle) else (low, middle)
    return low


def _fits(engine: Engine, images: int) -> bool:
    try:
        _try(engine, images)
        return True
    except RuntimeError as error:
        if not ran_out(error):
            raise
    finally:
        release(engine)
    return False


def release(engine: Engine) -> None:
    """Let go of what a failed step has left."""
    engine.module.zero_grad(set_to_none=True)
    gc.collect()
    if engine.crew.device.type == "cuda":
        torch.cuda.empty_cache()


def _try(engine: Engine, images: int) -> None:
    """One pass there and back, with the room that the optimiser will want; nothing is learned."""
    device, size = engine.crew.device, engine.objective.model.config.image_size
    numbers = sum(p.numel() for p in engine.module.parameters() if p.requires_grad)
    room = torch.empty(0 if engine.learner.optimiser.state else MOMENTS * numbers, device=device)
    prepared = engine.objective.prepared(
        torch.zeros(images, 3, *size, device=device),
        torch.zeros(images, dtype=torch.long, device=device),
        draws(0, 0, 0, images, 0, images),
    )
    with engine.autocast():
        loss = engine.objective(*prepared)  # not by the workers together: each tries for itself
    loss.backward()
    float(loss)
    del room


def _by_line(engine: Engine, most: int) -> int:
    """Where the system kills what takes too much, nothing is tried that may: memory grows in a line with the images."""
    left = memory.available()
    if left is None:
        raise BadInput("this system does not say how much memory is left", "give --batch in place of --auto-batch")
    base, room = _status("VmRSS"), MARGIN * left
    tried = [(1, _peak(engine, 1) - base)]
    while tried[-1][0] < most and 2 * tried[-1][1] < room:  # twice as many images take at most twice as much
        images = min(most, 2 * tried[-1][0])
        tried.append((images, _peak(engine, images) - base))
    (few, less), (many, more) = (tried[0], tried[-1]) if len(tried) > 1 else ((0, 0), tried[0])
    found = int(few + (room - less) * (many - few) / max(1, more - less))
    if found < 1:
        raise OutOfMemory("no memory is left for a single image in a batch", "--recompute, a smaller model, or smaller images")
    return min(most, found)


def _peak(engine: Engine, images: int) -> int:
    """Bytes that this process holds at most in a try. Linux alone says so."""
    Path("/proc/self/clear_refs").write_text("5")
    _try(engine, images)
    engine.module.zero_grad(set_to_none=True)
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

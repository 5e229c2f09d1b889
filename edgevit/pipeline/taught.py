"""A checkpoint that learned with a recipe's rounding: what is exported of it, and whose answers it is to keep."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit.data import lasting
from edgevit.errors import EdgevitError
from edgevit.types import Checkpoint, QuantRecipe


def learned(source: Checkpoint, asked: str) -> bool:
    """Whether the checkpoint was trained for the recipe that was asked for."""
    return bool(source.train and source.train.quantize == lasting(asked))


def as_trained(source: Checkpoint, asked: str, recipe: QuantRecipe) -> QuantRecipe:
    """`recipe`, but with the nearest integers of a checkpoint that was trained for it: it learned with those."""
    if not learned(source, asked):
        return recipe
    return dataclasses.replace(recipe, rounding="nearest", smoothing=False, bias_correction=False)


def lost(source: Checkpoint, asked: list[str]) -> str:
    """What is to be said where its origin is wanted and gone; empty where it is not."""
    if not any(learned(source, recipe) for recipe in asked) or origin(source):
        return ""
    assert source.train
    return f"{source.train.start}, which it began from, is gone: answers are compared with the checkpoint's own floats"


def origin(source: Checkpoint) -> Checkpoint | None:
    """The checkpoint in float that such a one began from, if it is still there and knows the same classes.

    Its own floats are no measure: they were never meant to answer. Nor is a larger teacher's, where it had one.
    """
    if not (source.train and source.train.quantize and source.train.start):
        return None
    try:
        found = checkpoints.read(Path(source.train.start))
    except EdgevitError:
        return None
    return found if found.labels == source.labels else None

"""What float16 does not hold, kept in float32: looked for in a file that is made, which is then made again."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.errors import EdgevitError
from edgevit.types import Exported, Island, Progress

if TYPE_CHECKING:
    import numpy as np

    from converters.order import Order

CONVERSIONS = 3
"""How often a model is converted again, at the most."""
NAMED = 3


def fitting(made: Exported, target: str, order: Order, looked_at: np.ndarray, into: Path, progress: Progress) -> Exported:
    """What is `made` in `into`, or the same once more with the operators in float32 whose values float16 does not hold.

    As a rule once more is enough. A conversion was seen to leave some of those that it was told in float16, and nobody knows why
    (docs/log.md): what is left is added, and it is converted again. Raises EdgevitError where that does not end.
    """
    import converters
    import targets

    islands: dict[str, Island] = {}
    for _ in range(CONVERSIONS):
        progress("looking for values that are too large", 0, None)
        found = targets.too_large(target, into / made.file, looked_at)
        if not found:
            return made
        islands |= {island.name: island for island in found}
        shutil.rmtree(into / made.file)
        kept = dataclasses.replace(order, islands=tuple(islands.values()))
        made = converters.convert(targets.get(target).converter, kept, into, progress)
    _require_small(targets.too_large(target, into / made.file, looked_at))
    return made


def _require_small(left: tuple[Island, ...]) -> None:
    """Raise EdgevitError where operators are still in a type that their values do not fit into."""
    if left:
        named = ", ".join(f"{island.name} ({island.place}): {island.largest:.3g}" for island in left[:NAMED])
        raise EdgevitError(
            f"values are too large for float16, and coremltools left them in it: {named}", "--recipe fp32 holds them"
        )

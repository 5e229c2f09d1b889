"""The values within a saved package, as the evaluator computes them operation by operation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import torch

from edgevit.types import Computed
from targets.mil import program
from targets.mil.program import Program, Step


class MilTrace:
    """A package called with one image, each result rounded as Core ML stores it. Raises DamagedFile, EdgevitError."""

    words = "the evaluator of the package, operation by operation, each result rounded to its type"
    blind = ""

    def __init__(self, path: Path) -> None:
        self._program: Program = program.read(path)
        slots = [(step, slot) for step in self._program.steps for slot in step.outputs]
        self._places = {slot.place: number for number, (_, slot) in enumerate(slots)}
        self.computed = tuple(
            Computed(number, step.name, step.kind, slot.shape, self._reads(step)) for number, (step, slot) in enumerate(slots)
        )
        self.logits = self._places[self._program.logits.place]

    def __call__(self, image: np.ndarray, wanted: Collection[int]) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}

        def keep(values: Mapping[int, torch.Tensor]) -> None:
            found.update({self._places[p]: v.float().numpy() for p, v in values.items() if self._places[p] in wanted})

        with torch.no_grad():
            self._program.evaluate(torch.tensor(image, dtype=torch.float32), keep)
        return found

    def _reads(self, step: Step) -> tuple[int, ...]:
        """The results of other steps among what it reads."""
        return tuple(sorted(self._places[place] for place in step.reads if place in self._places))

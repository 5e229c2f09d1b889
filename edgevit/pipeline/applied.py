"""What each recipe makes of the checkpoint, once for all artifacts of an export."""

from __future__ import annotations

import threading
from pathlib import Path

from edgevit import artifact as artifacts
from edgevit.pipeline import taught
from edgevit.pipeline.reuse import Stages
from edgevit.pipeline.stopped import Stopped, outcome
from edgevit.stage import Children
from edgevit.types import Outcome, Progress, QuantRecipe


class Applied:
    """Files in the folder `scratch`, made when the first artifact needs them: artifacts in floats do not wait for integers."""

    def __init__(self, stages: Stages, recipes: dict[str, QuantRecipe], scratch: Path) -> None:
        self._stages, self._recipes, self._scratch = stages, recipes, scratch
        self._locks = {name: threading.Lock() for name in recipes}
        self._made: dict[str, Path | Stopped | None] = {}

    def of(self, asked: str, progress: Progress, children: Children) -> Path | None:
        """The file, or None for a recipe that is applied while converting. Raises Stopped, to each that needs it."""
        with self._locks[asked]:
            if asked not in self._made:
                self._made[asked] = self._make(asked, progress, children)
        made = self._made[asked]
        if isinstance(made, Stopped):
            raise made
        return made

    def _make(self, asked: str, progress: Progress, children: Children) -> Path | Stopped | None:
        recipe = self._recipes[asked]
        if not recipe.quantizes:
            return None
        into = self._scratch / f"quantized-{recipe.name}"
        into.mkdir()
        try:
            with outcome(Outcome.QUANTIZE_FAILED):
                if taught.learned(self._stages.source, asked):
                    self._stages.as_learned(into, progress, children)
                else:
                    self._stages.quantize(recipe, into, progress, children)
        except Stopped as stopped:
            return stopped
        return into / artifacts.QUANTIZED

"""What stands within an exported file, and where it parts from the model that it was made from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Computed:
    """A value that an operator of a file computes: its `place` among all values, and the places that the operator reads."""

    place: int
    name: str
    kind: str
    shape: tuple[int, ...]
    reads: tuple[int, ...]


class Trace(Protocol):
    """A file that shows the values within. Called with one image (1, 3, H, W) it gives those of the places that are `wanted`.

    Values are float32, integers with a scale already multiplied by it. `computed` are in order of execution, `logits` is the
    place of the answer, `words` say which kernels are looked at. `blind` says why operators are not told apart; empty where
    they are.
    """

    @property
    def computed(self) -> tuple[Computed, ...]: ...

    @property
    def logits(self) -> int: ...

    @property
    def words(self) -> str: ...

    @property
    def blind(self) -> str: ...

    def __call__(self, image: np.ndarray, wanted: Collection[int]) -> dict[int, np.ndarray]: ...


class Twin(Protocol):
    """The model in torch as a file was written from it, stage by stage. What goes from stage to stage is its own affair."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def start(self, image: np.ndarray) -> Any:
        """What the first stage takes."""

    def step(self, number: int, given: Any) -> Any:
        """What stage `number` makes of what the one before gave."""

    def value(self, given: Any) -> np.ndarray:
        """The tensor that a stage gave."""

    def instead(self, given: Any, value: np.ndarray) -> Any:
        """The same with another tensor of that shape."""

    def inside(self, number: int, given: Any) -> list[np.ndarray]:
        """Every tensor that is computed on the way through stage `number`."""


@dataclass(frozen=True)
class StageError:
    """|a - b| / |b| of the tensor behind one stage, over all images; None where the file shows none.

    `whole` is beside the twin's own, and so has the errors of all stages before it. `own` is beside what the twin's stage makes
    of the very tensor that the file had before it: what this stage alone adds.
    """

    name: str
    own: float | None
    whole: float | None


@dataclass(frozen=True)
class PartedOperator:
    """The operator of a file where a stage parts: its name, kind and shape there, and its error beside the twin."""

    name: str
    kind: str
    shape: tuple[int, ...]
    error: float


@dataclass(frozen=True)
class Sided:
    """An artifact beside its twin, the checkpoint's model as it was converted, on `images` golden images.

    `tolerance` is that of the logits, `own_tolerance` that of a stage alone. `words` say what was looked at.
    """

    artifact: str
    name: str
    words: str
    images: int
    tolerance: float
    own_tolerance: float
    stages: tuple[StageError, ...]
    operator: PartedOperator | None = None
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> str:
        """The first stage that adds more than its tolerance, or the logits where all of them together do; empty where none."""
        for stage in self.stages:
            if stage.own is not None and not stage.own <= self.own_tolerance:
                return stage.name
        last = self.stages[-1]
        return "" if last.whole is None or last.whole <= self.tolerance else last.name


@dataclass(frozen=True)
class Bisected:
    """One or two artifacts beside their twins, and of two how far their streams are `apart`, stage by stage.

    Of two, `apart_tolerance` is the sum of both tolerances: each may be that far from its twin.
    """

    sides: tuple[Sided, ...]
    apart: tuple[float | None, ...] = ()
    apart_tolerance: float = 0.0

    @property
    def parts(self) -> str:
        """The first stage at which a side parts from its twin, or both from each other; empty where they agree everywhere."""
        found = {side.parts for side in self.sides}
        names = [stage.name for stage in self.sides[0].stages]
        found |= {n for n, far in zip(names, self.apart, strict=False) if far is not None and not far <= self.apart_tolerance}
        return next((name for name in names if name in found), "")

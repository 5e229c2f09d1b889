"""Which layers of a model stand few bits, and a mix that keeps to a budget."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.types.look import Drawn


@dataclass(frozen=True)
class Budget:
    """A limit: of `bytes` for all parameters, or of the `drop` of top-1, a fraction of 1."""

    kind: str
    limit: float

    def holds(self, size: int, drop: float) -> bool:
        """Whether a model of `size` bytes that loses `drop` keeps to it."""
        return (size if self.kind == "bytes" else drop) <= self.limit + 1e-9

    @property
    def words(self) -> str:
        return f"{self.limit / 1e6:g} MB" if self.kind == "bytes" else f"a drop of {100 * self.limit:g} points"


@dataclass(frozen=True)
class LayerDamage:
    """One Linear alone in the form `low`, and alone in the form `high`, all else in float.

    `kl` is the mean Kullback-Leibler divergence of the answers' probabilities from the float model's, in nats; `flips` counts the
    images that get another answer. `bytes` are those of its matrix.
    """

    layer: str
    kl: float
    flips: int
    bytes: int
    high_kl: float
    high_flips: int
    high_bytes: int


STEPS = ("rounded", "mixed", "trained")
"""How far one climbs to keep to a budget: all in the lower form, some raised to the higher, and trained to live with that."""


@dataclass(frozen=True)
class Mix:
    """A model with `raised` Linears in the higher form and all others in the lower, as it was measured at one of STEPS.

    `bytes` are those of all parameters. `drop` and `agreement` are beside the float model on `images` images.
    """

    step: str
    raised: int
    bytes: int
    drop: float
    agreement: float
    images: int
    holds: bool


@dataclass(frozen=True)
class Analysis:
    """`layers` in order of the network, over `images` images of `source`, where they were ranked: by their weights alone.

    `steps` is how a mix that `holds` all `budgets` was looked for, its activations as the recipe has them. `file` is the recipe
    of that mix, and `trained` the run that learned to live with it, where that was needed.
    """

    low: str
    high: str
    images: int
    source: str
    layers: tuple[LayerDamage, ...] = ()
    budgets: tuple[Budget, ...] = ()
    steps: tuple[Mix, ...] = ()
    holds: bool = True
    raised: tuple[str, ...] = ()
    file: str = ""
    trained: str = ""
    pictures: tuple[Drawn, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether all in the lower form has no more bytes than allowed: if not, nothing helps."""
        sizes = [budget for budget in self.budgets if budget.kind == "bytes"]
        return all(budget.holds(self.steps[0].bytes, 0.0) for budget in sizes)

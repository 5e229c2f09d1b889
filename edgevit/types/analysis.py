"""Which layers of a model stand few bits, and a mix that keeps to a budget."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.types.look import Drawn


@dataclass(frozen=True)
class Budget:
    """A limit: of `bytes` for all parameters, or of the `drop` of top-1, a fraction of 1."""

    kind: str
    limit: float

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


@dataclass(frozen=True)
class Mix:
    """A model with `raised` Linears in the higher form and all others in the lower, as it was measured.

    `bytes` are those of all parameters. `drop` and `agreement` are beside the float model on `images` images.
    """

    raised: int
    bytes: int
    drop: float
    agreement: float
    images: int
    holds: bool


@dataclass(frozen=True)
class Analysis:
    """`layers` in order of the network, over `images` images of `source`; `steps` is how a mix for the `budget` was found.

    `file` is the recipe of that mix. Weights alone are quantized here: activations stay in float.
    """

    low: str
    high: str
    images: int
    source: str
    layers: tuple[LayerDamage, ...]
    budget: Budget | None = None
    steps: tuple[Mix, ...] = ()
    raised: tuple[str, ...] = ()
    file: str = ""
    pictures: tuple[Drawn, ...] = ()

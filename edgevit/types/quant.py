"""How weights and activations become small: recipes, and what a target holds of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgevit.types.model import require

KINDS = {"float": (16, 32), "int": (4, 8), "palette": (4, 6, 8)}
WORDS = {"fp": "float", "int": "int", "palette": "palette"}
"""How the name of a form begins, for each kind."""
GROUPS = (0, 32, 64, 128)
ACTIVATIONS = ("none", "dynamic", "static")
ROUNDINGS = ("nearest", "gptq")
RANGES = ("minmax", "percentile", "mse")


@dataclass(frozen=True)
class Weights:
    """How the matrix of a Linear is stored: as `bits` wide floats, integers, or places in a palette of 2^bits floats.

    `group` input channels share the scale of their integers; 0 where all of an output channel do. A palette is one for the whole
    matrix.
    """

    bits: int
    kind: str = "int"
    group: int = 0

    def __post_init__(self) -> None:
        require(self.kind in KINDS, f"weights are {', '.join(KINDS)}, not {self.kind!r}")
        allowed = KINDS[self.kind]
        require(self.bits in allowed, f"{self.kind} weights have {', '.join(map(str, allowed))} bits, not {self.bits!r}")
        require(
            self.group in GROUPS, f"a group is of {', '.join(map(str, GROUPS[1:]))} channels, or 0 for all, not {self.group!r}"
        )
        require(not self.group or (self.kind, self.bits) == ("int", 4), "groups are for integers of 4 bits")

    @property
    def name(self) -> str:
        """The form by its name: fp16, int8, int4-g32, palette6."""
        word = next(word for word, kind in WORDS.items() if kind == self.kind)
        return f"{word}{self.bits}" + (f"-g{self.group}" if self.group else "")

    @classmethod
    def named(cls, name: str) -> Weights | None:
        """The form of that name, or None where there is none."""
        found = re.fullmatch(r"(fp|int|palette)([0-9]+)(?:-g([0-9]+))?", name)
        try:
            form = cls(int(found[2]), WORDS[found[1]], int(found[3] or 0)) if found else None
        except ValueError:
            return None
        return form if form and form.name == name else None

    @property
    def granularity(self) -> str:
        """Of the scales, in words."""
        if self.kind == "float":
            return "none"
        if self.kind == "palette":
            return "per matrix"
        return f"per group of {self.group}" if self.group else "per channel"


@dataclass(frozen=True)
class LayerRule:
    """The Linears whose names `match`, a shell pattern as blocks.0.*, have `weights` of their own."""

    match: str
    weights: Weights


@dataclass(frozen=True)
class QuantRecipe:
    """What is stored in how many bits, and how the integers are found.

    `activations`: what enters a Linear is quantized at run time for each token (`dynamic`, where the target computes so), by a
    scale known beforehand (`static`), or not at all (`none`). `rounding`: each weight to its nearest integer, or each column with
    the error of those before it made good, and what the layers before lost (`gptq`). `smoothing` moves scale from columns that
    are hard to round into the layer before, as far as the calibration images show that it helps; `bias_correction` takes the mean
    error of each channel into its bias. `ranges`: where the ranges of static activations end, at all that calibration saw
    (`minmax`), at all but the rarest (`percentile`) or where rounding and clipping cost least (`mse`). `layers`: the first rule
    that matches a Linear's name counts.
    """

    name: str
    summary: str
    weights: Weights
    activations: str = "none"
    rounding: str = "nearest"
    smoothing: bool = False
    bias_correction: bool = False
    ranges: str = "mse"
    layers: tuple[LayerRule, ...] = ()
    float_layers: str = ""
    """Which layers stay in float, and why."""

    def __post_init__(self) -> None:
        require(self.activations in ACTIVATIONS, f"activations are {', '.join(ACTIVATIONS)}, not {self.activations!r}")
        require(self.rounding in ROUNDINGS, f"rounding is {' or '.join(ROUNDINGS)}, not {self.rounding!r}")
        require(self.ranges in RANGES, f"ranges are {', '.join(RANGES)}, not {self.ranges!r}")
        whole = self.weights.kind == "float"
        require(not (whole and self.activations != "none"), "activations of integers need weights of integers")
        kinds = {form.kind for form in self.forms}
        require("palette" not in kinds or self.activations == "none", "a palette has no integers to compute with")
        require("palette" not in kinds or "int" not in kinds, "palettes and integers do not go together")
        needless = whole and not self.layers and (self.rounding != "nearest" or self.smoothing or self.bias_correction)
        require(not needless, "float weights need neither rounding, smoothing nor bias correction")

    @property
    def forms(self) -> tuple[Weights, ...]:
        """Every way in which it stores a Linear."""
        return tuple(dict.fromkeys((self.weights, *(rule.weights for rule in self.layers))))

    @property
    def quantizes(self) -> bool:
        return any(form.kind != "float" for form in self.forms)

    @property
    def calibrates(self) -> bool:
        """Whether it needs images."""
        return self.rounding != "nearest" or self.smoothing or self.bias_correction or self.activations == "static"

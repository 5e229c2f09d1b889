"""Where a file runs: one file per target, with its record TARGET and `load(file, threads) -> Runner`.

The file of a target is called as the target, with _ for -.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from edgevit.errors import BadInput, NotInstalled, UnknownName
from edgevit.types import Delegation, Described, Island, Library, QuantRecipe, Runner, Runtime, Target, Tolerance, Trace, Weights
from targets.tolerances import STATIC

if TYPE_CHECKING:
    import numpy as np

NAMES = (
    "executorch", "coreml", "coreml-ane", "coreml-ios18", "tflite", "tflite-gpu", "tflite-legacy", "tflite-npu",
    "executorch-coreml", "executorch-vulkan", "coreml-ios16",
)  # fmt: skip


MERGED = Tolerance(0.1, 0.02, 0.9)
"""Where patches are merged, at least: DeiT-Ti loses 0.8 points with half of its patches and gives 95.6 % of its answers."""
ROUNDED = 1e-3
"""A recipe that may have a larger relative error computes in less than float32."""


def get(name: str) -> Target:
    """The target of that name. Raises UnknownName with the nearest ones."""
    if name not in NAMES:
        raise UnknownName("target", name, NAMES)
    target: Target = _file(name).TARGET
    return target


def _file(name: str) -> ModuleType:
    return importlib.import_module(f"targets.{name.replace('-', '_')}")


def all_targets() -> tuple[Target, ...]:
    return tuple(get(name) for name in NAMES)


def missing(target: Target) -> tuple[Library, ...]:
    """The libraries that the target needs and that are not installed. None of them is imported to find out."""
    return tuple(library for library in target.needs if not present(library))


def present(library: Library) -> bool:
    if library.module in sys.modules:
        return sys.modules[library.module] is not None
    return importlib.util.find_spec(library.module) is not None


def require(target: Target) -> None:
    """Raise NotInstalled, with the line that installs it, where a library of the target is absent."""
    absent = missing(target)
    if not absent:
        return
    names = ", ".join(library.module for library in absent)
    extras = ",".join(dict.fromkeys(library.extra for library in absent))
    raise NotInstalled(f"{target.name} needs what is not installed: {names}", f"pip install 'edgevit[{extras}]'")


def lacks(target: Target, recipe: QuantRecipe) -> str:
    """What of the recipe the target cannot hold, in words; empty where it holds it."""
    forms = [form.name for form in recipe.forms if form.name not in target.recipes]
    if forms:
        return f"weights as {', '.join(forms)}"
    if recipe.activations == "static":
        if "static" not in target.activations:
            return "static activations"
        others = [form.name for form in recipe.forms if form.kind != "float" and form.bits != 8]
        return f"static activations before weights as {', '.join(others)}" if others else ""
    if target.activations == ("static",):
        return "activations without scales from calibration"
    whole = recipe.activations == "none" and any(form.kind == "int" for form in recipe.forms)
    return "activations in float behind weights of integers" if whole and target.activations else ""


def require_recipe(target: Target, recipe: QuantRecipe) -> None:
    """Raise BadInput where the target cannot hold the recipe, with the nearest that it can."""
    lacking = lacks(target, recipe)
    if not lacking:
        return
    holders = ", ".join(other.name for other in all_targets() if not lacks(other, recipe))
    only = f"-{target.activations[0]}" if target.activations == ("static",) else ""
    nearest = ", ".join(dict.fromkeys(_nearest(target, form) + only for form in recipe.forms))
    hint = f"the nearest that it holds: {nearest}" + (f"; these hold it: {holders}" if holders else "")
    raise BadInput(f"{target.name} does not hold {recipe.name}: it has no {lacking}", hint)


def _nearest(target: Target, form: Weights) -> str:
    """The form that the target holds in about as many bits, floats for floats, of the same kind if it can be."""

    def distance(name: str) -> tuple[bool, int, bool, bool, int]:
        other = Weights.named(name)
        assert other
        whole = (other.kind == "float") != (form.kind == "float")
        return whole, abs(other.bits - form.bits), other.kind != form.kind, other.bits < form.bits, abs(other.group - form.group)

    return min(target.recipes, key=distance)


def tolerance(target: Target, recipe: QuantRecipe, merged: bool) -> Tolerance:
    """How far an artifact may be from its checkpoint, which it may not be in a target's recipe if it merges what that does not.

    Of several forms the widest counts. A merge costs accuracy, and where numbers are rounded, which of two patches that are
    nearly alike goes may fall the other way.
    """
    each = [target.recipes[form.name] for form in recipe.forms]
    if recipe.activations == "static":
        each.append(STATIC)
    plain = Tolerance(max(t.relative_error for t in each), max(t.drop for t in each), min(t.agreement for t in each))
    if not merged:
        return plain
    rounded = plain.relative_error > ROUNDED
    error = max(plain.relative_error, MERGED.relative_error) if rounded else plain.relative_error
    return Tolerance(error, max(plain.drop, MERGED.drop), min(plain.agreement, MERGED.agreement))


def load(name: str, file: Path, threads: int | None = None) -> Runner:
    """The model in `file`, ready to run on the target of that name, or on what stands in for it here."""
    target = get(name)
    require(target)
    runner: Runner = _file(name).load(file, threads)
    return runner


def runtimes(name: str) -> tuple[Runtime, ...]:
    """What may open the files of that target; none besides its own where it does not say."""
    found: tuple[Runtime, ...] = getattr(_file(name), "RUNTIMES", ())
    return found


def load_in(name: str, runtime: str, file: Path, threads: int | None = None) -> Runner:
    """The model in `file` in the runtime of that name."""
    runner: Runner = _file(name).load_in(runtime, file, threads)
    return runner


def judged(name: str, runtime: str, file: Path) -> str:
    """What a runtime that judges would refuse of the file; empty for nothing."""
    found: str = _file(name).judged(runtime, file)
    return found


def too_large(name: str, file: Path, images: np.ndarray) -> tuple[Island, ...]:
    """The operators of the model in `file` whose values on `images` are too large for the type that they are in.

    Of a target that can keep single operators in a larger type, and knows how to look; else none.
    """
    look = getattr(_file(name), "too_large", None)
    return look(file, images) if look else ()


def faults(runner: Runner) -> str:
    """What went wrong within the runner while it answered, where it is one that sees that; empty where nothing did."""
    return getattr(runner, "faults", "")


def trace(name: str, file: Path) -> Trace | None:
    """The model in `file` with the values within, on the target of that name; None where its runtime shows none."""
    require(get(name))
    opened = getattr(_file(name), "trace", None)
    return opened(file) if opened else None


def outputs(name: str, file: Path) -> Trace:
    """A file that was written to show its stages, on the target of that name."""
    opened: Trace = _file(name).outputs(file)
    return opened


def delegation(name: str, file: Path) -> Delegation | None:
    """What the target of that name takes of the model in `file`, where it is the target that knows how to count it."""
    count = getattr(_file(name), "delegation", None)
    return count(file) if count else None


def describes(name: str) -> bool:
    """Whether a file of the target of that name can say what it is."""
    return hasattr(_file(name), "described")


def described(name: str, file: Path) -> Described | None:
    """What the model in `file` says of itself, where the target of that name can ask it and it says something."""
    ask = getattr(_file(name), "described", None)
    return ask(file) if ask else None

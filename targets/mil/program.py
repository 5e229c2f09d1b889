"""The program of a package as steps that torch can take: constants made once, the rest in order for every image."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from edgevit import memory
from edgevit.errors import DamagedFile, EdgevitError
from targets.mil import package
from targets.mil.library import proto, types
from targets.mil.moves import MOVES
from targets.mil.ops import OPERATIONS
from targets.mil.package import Package, reason
from targets.mil.values import Value, constant, stored

ARRAYS = {
    proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT16: "fp16",
    proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32: "fp32",
}
"""Types of arrays in the description of a model, by the name that MIL gives them."""
RGB = proto.FeatureTypes_pb2.ImageFeatureType.ColorSpace.RGB
CLASSIFY = "classify"
"""The last operation of a classifier: probabilities to the likeliest label, and to a dictionary of them by label."""


Seen = Callable[[dict[int, Tensor]], None]
"""Who is handed what each step computes, by its place."""
Given = TypeVar("Given")
CHUNK = 1 << 22
"""Numbers in the largest intermediate result that are computed at once: 16 MiB, of some images that share each weight."""


@dataclass(frozen=True)
class Slot:
    """A value of the program: its place among all values, its type and shape in MIL, and its name."""

    place: int
    kind: str
    shape: tuple[int, ...]
    name: str


@dataclass(frozen=True)
class Step:
    """One operation: its inputs are places of values, or tuples of places, and `named` are what those values are called."""

    kind: str
    name: str
    inputs: Mapping[str, int | tuple[int, ...]] = field(hash=False)
    outputs: tuple[Slot, ...]
    done: tuple[int, ...] = ()
    """Places that no later step reads."""
    named: tuple[str, ...] = ()

    @property
    def values(self) -> set[int]:
        """Places that it reads or writes."""
        return self.reads | {slot.place for slot in self.outputs}

    @property
    def reads(self) -> set[int]:
        return {place for given in self.inputs.values() for place in (given if isinstance(given, tuple) else (given,))}

    def run(self, values: dict[int, Value], package: Path) -> None:
        """Read the inputs from `values` and write the outputs to it. Raises EdgevitError with the step's name."""
        try:
            self._run(values)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise EdgevitError(f"cannot evaluate {self.kind} {self.name!r} of {package}: {reason(error)}") from error
        for place in self.done:
            values.pop(place, None)

    def computed(self, values: Mapping[int, Value]) -> Sequence[Tensor]:
        """What it gives, before anything is rounded to what the program stores."""
        given = {
            name: [values[place] for place in places] if isinstance(places, tuple) else values[places]
            for name, places in self.inputs.items()
        }
        result = OPERATIONS[self.kind](**given)
        return [result] if isinstance(result, Tensor) else result

    def _run(self, values: dict[int, Value]) -> None:
        for slot, value in zip(self.outputs, self.computed(values), strict=True):
            if tuple(value.shape) != slot.shape:
                raise ValueError(f"it gives shape {tuple(value.shape)}, and the package says {slot.shape}")
            values[slot.place] = value if self.kind in MOVES else stored(value, slot.kind)


@dataclass(frozen=True)
class Program:
    """What turns an image into logits: both as the program declares them, constants by their place, and steps.

    Of a classifier they are probabilities, as they are before they get labels. `pixels`: the image is one of Core ML's, RGB.
    """

    package: Path
    image: Slot
    logits: Slot
    constants: dict[int, Value] = field(repr=False)
    steps: tuple[Step, ...]
    pixels: bool = False

    def evaluate(self, image: Tensor, seen: Seen | None = None) -> Tensor:
        """Take every step for one image, of the shape that `image` says; `seen` gets what each computes. Raises EdgevitError."""
        return self.watched(image, seen)[0]

    def watched(self, image: Tensor, seen: Seen | None = None) -> tuple[Tensor, Tensor]:
        """The logits, and 0 if every value in float16 on the way was finite, else NaN."""
        values = {**self.constants, self.image.place: stored(image, self.image.kind)}
        watch = torch.zeros(())
        for step in self.steps:
            step.run(values, self.package)
            if step.kind not in MOVES:
                watch = watch + sum(0 * cast(Tensor, values[s.place]).sum() for s in step.outputs if s.kind == "fp16")
            if seen:
                seen({slot.place: cast(Tensor, values[slot.place]) for slot in step.outputs if slot.place in values})
        return cast(Tensor, values[self.logits.place]), watch

    def mapped(self, function: Callable[[Tensor], Given]) -> Callable[[Tensor], Given]:
        """A `function` of one image that takes the steps, over many: some at once, each as if it were alone."""
        largest = max((math.prod(slot.shape) for step in self.steps for slot in step.outputs), default=1)
        return torch.vmap(function, chunk_size=max(1, CHUNK // largest))


def read(path: Path) -> Program:
    """That of the package at `path`, alone: coremltools' own holds all weights once more, in circles, and is let go of here."""
    found = program(package.read(path))
    gc.collect()
    memory.trim()
    return found


def program(package: Package) -> Program:
    """Read a package and evaluate all that no image changes.

    Raises EdgevitError for an operation that has no function here, before anything is evaluated, and DamagedFile for a
    program that is not whole or not that of an image classifier.
    """
    _refuse_unknown(package)
    description, main = package.spec.description, package.main
    pixels = [feature.type.WhichOneof("Type") for feature in description.input] == ["imageType"]
    if pixels:
        image = _picture(package, description.input[0].type.imageType, list(main.inputs.values()))
    else:
        image = _signature(package, "input", description.input, list(main.inputs.values()))
    logits = _probabilities(package) or _signature(package, "output", description.output, main.outputs)
    constants, steps = folded(main.operations, package.folder)
    needed = {logits.place}.union(*(step.reads for step in steps))
    constants = {place: value for place, value in constants.items() if place in needed}
    return Program(package.folder, image, logits, constants, _released(steps, keep=constants.keys() | {logits.place}), pixels)


def _refuse_unknown(package: Package) -> None:
    for operation in package.operations:
        if operation.type not in ("const", CLASSIFY) and operation.type not in OPERATIONS:
            name = operation.outputs[0].name if operation.outputs else "no output"
            raise EdgevitError(
                f"no evaluation of the Core ML operation {operation.type} ({name}) in {package.folder}",
                "a Mac or an iPhone runs it; here it needs a function in targets/mil/ops.py",
            )


def _signature(package: Package, role: str, features: Any, variables: list[Any]) -> Slot:
    """The one input or output, on which the description for apps and the program must agree."""
    if len(features) != 1 or len(variables) != 1 or features[0].name != variables[0].name:
        names = ", ".join(feature.name for feature in features) or "none"
        raise DamagedFile(f"an image classifier has one {role}, not {names}: {package.folder}")
    feature, slot = features[0], _slot(variables[0])
    array = feature.type.multiArrayType
    if array.WhichOneof("ShapeFlexibility") or ARRAYS.get(array.dataType) != slot.kind:
        raise DamagedFile(f"the {role} {feature.name} is no array of floats of one fixed shape: {package.folder}")
    if tuple(array.shape) not in ((), slot.shape):
        raise DamagedFile(f"the {role} {feature.name} is described as {tuple(array.shape)}, not {slot.shape}: {package.folder}")
    return slot


def _picture(package: Package, feature: Any, variables: list[Any]) -> Slot:
    """The one input of a program that takes RGB images (1, 3, H, W) of one size."""
    slots = [_slot(variable) for variable in variables]
    shape = (1, 3, feature.height, feature.width)
    if [slot.shape for slot in slots] != [shape] or feature.colorSpace != RGB or feature.WhichOneof("SizeFlexibility"):
        raise DamagedFile(f"the input is no RGB image of one size {feature.width} x {feature.height}: {package.folder}")
    return slots[0]


def _probabilities(package: Package) -> Slot | None:
    """What a classifier gives labels to (1, classes); None where the program is none."""
    operations = package.main.operations
    if not operations or operations[-1].op_type != CLASSIFY:
        return None
    slot, labels = _slot(operations[-1].inputs["probabilities"]), class_labels(package)
    if slot.shape != (1, len(labels)):
        raise DamagedFile(f"{len(labels)} labels for probabilities {slot.shape}: {package.folder}")
    return slot


def class_labels(package: Package) -> list[str]:
    """What a classifier calls its classes, in order."""
    return [str(label) for label in package.main.operations[-1].inputs["classes"].val]


def folded(operations: Iterable[Any], package: Path) -> tuple[dict[int, Value], list[Step]]:
    """All constants, those among them that are computed from others too, and the steps that remain."""
    constants: dict[int, Value] = {}
    steps = []
    for operation in operations:
        if operation.op_type == CLASSIFY or types.is_list(operation.outputs[0].sym_type):  # the list of its labels
            continue
        step = _step(operation)
        if operation.op_type == "const":
            constants[step.outputs[0].place] = constant(operation.outputs[0].val, step.outputs[0].kind)
        elif step.reads <= constants.keys():
            step.run(constants, package)
        else:
            steps.append(step)
    return constants, steps


def _step(operation: Any) -> Step:
    given = {name: value for name, value in operation.inputs.items() if value is not None}
    inputs = {name: tuple(map(id, v)) if isinstance(v, list | tuple) else id(v) for name, v in given.items()}
    named = tuple(one.name for value in given.values() for one in (value if isinstance(value, list | tuple) else [value]))
    return Step(operation.op_type, operation.name, inputs, tuple(_slot(output) for output in operation.outputs), named=named)


def _slot(variable: Any) -> Slot:
    """Variables are told apart by identity: two of them may have one name."""
    return Slot(id(variable), types.builtin_to_string(variable.dtype), tuple(variable.shape), variable.name)


def _released(steps: list[Step], keep: set[int]) -> tuple[Step, ...]:
    """The steps, each knowing which values it is the last to read, so that memory holds no more than it must."""
    seen, last_first = set(keep), []
    for step in reversed(steps):
        last_first.append(replace(step, done=tuple(step.reads - seen)))
        seen |= step.reads
    return tuple(reversed(last_first))

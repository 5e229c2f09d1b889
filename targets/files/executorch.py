"""An ExecuTorch program as its flatbuffer has it, with what its delegates are given. Source of the slots: program.fbs."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edgevit.errors import DamagedFile, EdgevitError, NoRuntime
from edgevit.types import Contents, Delegate, Operators, Port
from targets.files import delegates, tables
from targets.files.parts import Constant, layers
from targets.files.tables import Flatbuffer, Table
from targets.files.values import Values
from targets.mil.flat import unflatten

GRAPHS = {"XnnpackBackend": delegates.xnnpack, "VulkanBackend": delegates.vulkan}
"""Delegates whose graphs can be read here."""
COREML = "CoreMLBackend"
KERNEL, DELEGATE = 1, 2
OTHERS = {3: "move", 4: "jump if false", 5: "free"}
"""Of InstructionArguments."""


@dataclass
class _Found:
    """What the delegates turned out to hold, collected."""

    operators: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    delegates: dict[str, Delegate] = field(default_factory=dict)
    constants: list[Constant] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def delegate(self, name: str, nodes: int | None, size: int) -> None:
        before = self.delegates.get(name, Delegate(name, 0, 0, 0))
        total = None if nodes is None or before.nodes is None else before.nodes + nodes
        self.delegates[name] = Delegate(name, before.subgraphs + 1, total, (before.bytes or 0) + size)


class _Program:
    """The flatbuffer, and the segments behind it."""

    def __init__(self, file: Flatbuffer) -> None:
        self.file, self.root = file, file.root()
        extended = file.read(8, 4) == b"eh00"
        self.base = file.integer("Q", 24) if extended else 0
        self.segments = [(entry.integer(0, "Q"), entry.integer(1, "Q")) for entry in self.root.tables(4)]
        self.named = {entry.text(0): entry.integer(1, "I") for entry in self.root.tables(7)}
        self.taken = 0
        """Bytes of named data that delegates asked for."""
        self.plans = list(self.root.tables(1))
        if not self.plans:
            raise DamagedFile(f"an ExecuTorch program without a method: {file.name}")

    def segment(self, number: int) -> Flatbuffer:
        if number >= len(self.segments):
            raise DamagedFile(f"damaged: {self.file.name}: it has no segment {number}")
        start, size = self.segments[number]
        return self.file.within(self.base + start, size, f"segment {number}")

    def take_named(self, key: str) -> int:
        """The bytes of data of that name, once."""
        number = self.named.pop(key, None)
        if number is None:
            return 0
        found = self.segment(number)
        self.taken += found.end - found.start
        return found.end - found.start

    def blob(self, delegate: Table) -> Flatbuffer:
        reference = delegate.table(1)
        number = reference.integer(1, "I") if reference else 0
        if reference and reference.integer(0, "b") == 1:
            return self.segment(number)
        for place, data in enumerate(self.root.tables(3)):
            if place == number:
                held = data.vector(0, 1)
                return self.file.within(held.at, held.count, delegate.text(0))
        raise DamagedFile(f"damaged: {self.file.name}: nothing for the delegate {delegate.text(0)}")


def read(path: Path) -> Contents:
    """Raises DamagedFile."""
    program = _Program(tables.opened(path))
    found = _Found()
    main = next((plan for plan in program.plans if plan.text(0) == "forward"), program.plans[0])
    for plan in program.plans:
        _plan(program, plan, found, path)
        if plan.at != main.at:
            found.pairs.append((f"method {plan.text(0)}", Values(plan, program.root, program.segment).answer()))
    values = Values(main, program.root, program.segment)
    found.constants += values.constants()
    size = len(program.file.data)
    return Contents(
        file=str(path),
        format="ExecuTorch",
        bytes=size,
        wants=f"ExecuTorch schema {program.root.integer(0, 'I')}" + "".join(f", {name}" for name in found.delegates),
        inputs=_ports(values, main, 3, "input"),
        outputs=_ports(values, main, 4, "output"),
        operators=tuple(Operators(name, n, where, by) for (where, by, name), n in found.operators.most_common()),
        delegates=tuple(found.delegates.values()),
        layers=layers(found.constants, size, str(path)),
        metadata=tuple(sorted(found.pairs)),
        notes=tuple(found.notes),
    )


def delegated(path: Path, name: str) -> bytes:
    """What the delegate `name` is given, in a program that is one call of it. Raises DamagedFile; NoRuntime for a larger one."""
    program = _Program(tables.opened(path))
    plan = next((plan for plan in program.plans if plan.text(0) == "forward"), None)  # the others are constants
    if plan is None:
        raise DamagedFile(f"an ExecuTorch program without the method forward: {path}")
    given = list(plan.tables(7))
    names = [delegate.text(0) for delegate in given]
    steps = [step.integer(0, "B") for chain in plan.tables(5) for step in chain.tables(2)]
    if names != [name] or steps != [DELEGATE]:
        words = f"{len(steps)} steps and the delegates {', '.join(names) or 'none'}"
        raise NoRuntime(f"{words}: nothing here runs more than one package")
    blob = program.blob(given[0])
    return blob.read(0, blob.end - blob.start)


def _ports(values: Values, plan: Table, slot: int, role: str) -> tuple[Port, ...]:
    """A program has no names for them, so they have numbers."""
    return tuple(values.port(index, f"{role} {number}") for number, index in enumerate(plan.integers(slot, "i")))


def _plan(program: _Program, plan: Table, found: _Found, path: Path) -> None:
    where, kernels = plan.text(0), [_kernel(operator) for operator in plan.tables(6)]
    given = list(plan.tables(7))
    for chain in plan.tables(5):
        for step in chain.tables(2):
            kind, call = step.integer(0, "B"), step.table(1)
            number = call.integer(0, "i") if call else 0
            if kind == KERNEL and 0 <= number < len(kernels):
                found.operators[where, "", kernels[number]] += 1
            elif kind in OTHERS:
                found.operators[where, "", OTHERS[kind]] += 1
            elif kind == DELEGATE and 0 <= number < len(given):
                found.operators[where, "", f"call of {given[number].text(0)}"] += 1
            else:
                raise DamagedFile(f"damaged: {path}: a step that is no operator and no delegate of {where}")
    for delegate in given:
        _delegate(program, delegate, where, found)


def _kernel(operator: Table) -> str:
    return ".".join(filter(None, (operator.text(0), operator.text(1))))


def _delegate(program: _Program, delegate: Table, where: str, found: _Found) -> None:
    name, blob = delegate.text(0), program.blob(delegate)
    size = blob.end - blob.start
    if name == COREML:
        _coreml(blob, where, found)
        return
    if name not in GRAPHS:
        found.delegate(name, None, size)
        found.notes.append(f"{name}: {size} bytes that only it can read")
        return
    before = program.taken
    try:
        given = GRAPHS[name](blob, program.take_named)
    except DamagedFile as error:  # or another version's: the rest of the program can be read all the same
        found.delegate(name, None, size)
        found.notes.append(f"{name}: its graph was not read: {error.message}")
        return
    for kind, count in given.nodes.items():
        found.operators[where, name, kind] += count
    found.constants += given.constants
    found.delegate(name, given.nodes.total(), size + program.taken - before)


def _coreml(blob: Flatbuffer, where: str, found: _Found) -> None:
    """The package that the delegate is given, by the reader of packages."""
    size = blob.end - blob.start
    try:
        from targets.files import mlpackage

        with tempfile.TemporaryDirectory(prefix="edgevit-") as folder:
            unflatten(blob.read(0, size), Path(folder))
            inner = mlpackage.read(Path(folder) / "model.mlpackage")
    except (EdgevitError, ImportError) as error:
        found.delegate(COREML, None, size)
        found.notes.append(f"{COREML}: its package was not read: {_within(str(error))}")
        return
    for operators in inner.operators:
        found.operators[where, COREML, operators.name] += operators.count
    found.delegate(COREML, sum(operators.count for operators in inner.operators), size)
    found.constants += [Constant(layer.name, layer.dtype, layer.bytes) for layer in inner.layers]
    found.pairs += [(f"{COREML} {key}", value) for key, value in (("wants", inner.wants), *inner.metadata)]
    found.notes += inner.notes


def _within(message: str) -> str:
    """Without the name of the temporary folder."""
    return message.partition(": /")[0]

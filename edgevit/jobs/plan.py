"""A plan's work in child processes: files of random weights, their launches on a device, and what follows from them."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit import folder, record
from edgevit.bench import protocol
from edgevit.bench.protocol import Run
from edgevit.errors import EdgevitError
from edgevit.jobs.bench import RUNTIMES
from edgevit.planning import choose, costs, grid, kept
from edgevit.planning.grid import Grid
from edgevit.planning.kept import Kept
from edgevit.types import (
    BenchRules,
    Candidate,
    Converted,
    Device,
    DevicePlan,
    Input,
    Measured,
    Model,
    Plan,
    Preprocess,
    Progress,
)
from targets.devices import Access, connect

if TYPE_CHECKING:
    from edgevit.vit.model import ViT

GROUP = 8
"""Candidates that are launched in turns: so many files are opened, and so much is lost when a plan is interrupted."""
SPREAD = 0.02
"""Standard deviation of what is added to every weight: none is zero, and no answer either."""
PROVING = 2
"""Random images on which the rewrites are proven."""


def convert(candidates: tuple[Candidate, ...], into: Kept, seed: int, progress: Progress) -> int:
    """Make the file of each, which nobody has trained and nobody checks: how long it takes does not hang on its weights."""
    for number, one in enumerate(candidates):
        progress("converting", number, len(candidates))
        started = time.monotonic()
        with folder.written_whole(into.place(one), kept.RECORD, force=True) as partial:
            file = partial / _converted(one, seed, partial)
            made = Converted(one, file.name, folder.size(file), folder.sha256(file), time.monotonic() - started)
            record.write(partial / kept.RECORD, made)
    progress("converting", len(candidates), len(candidates))
    return len(candidates)


def _converted(one: Candidate, seed: int, into: Path) -> str:
    import torch

    import converters
    import quantize
    import targets
    from converters.order import Order
    from edgevit.types import silent
    from quantize.apply import apply

    target, recipe = targets.get(one.target), quantize.get(one.recipe)
    generator = torch.Generator().manual_seed(seed)
    model = apply(_random(one, generator), recipe, "dynamic" in target.activations)
    images = torch.randn(PROVING, 3, *one.shape.image_size, generator=generator)
    labels = tuple(f"class {number}" for number in range(one.shape.classes))
    order = Order(model, recipe, images, _steps(one), labels)
    return converters.convert(target.converter, order, into, silent).file


def _random(one: Candidate, generator: object) -> ViT:
    import torch

    from edgevit.vit.model import ViT

    assert isinstance(generator, torch.Generator)
    torch.manual_seed(generator.initial_seed())
    model = ViT(one.shape).eval()
    for parameter in model.parameters():
        parameter.data += SPREAD * torch.randn(parameter.shape, generator=generator)
    return model


def _steps(one: Candidate) -> Preprocess:
    return Preprocess(one.shape.image_size, one.shape.image_size)


def measure(
    wanted: tuple[Candidate, ...], into: Kept, device: str, where: str, rules: BenchRules, access: Access, progress: Progress
) -> DevicePlan:
    """Launch each on the device and keep what it took: the device, and those that could not be measured there.

    `where` is what measurements are kept by. Raises BadInput, DeviceFault where the device cannot be used at all.
    """
    there = connect(device, access)
    try:
        return measured_on(there, wanted, into, where, rules, progress)
    finally:
        there.close(access.keep)


def measured_on(
    there: Device, wanted: tuple[Candidate, ...], into: Kept, where: str, rules: BenchRules, progress: Progress
) -> DevicePlan:
    """The same on a device that is connected: groups of them in an order that is drawn, each group launched in turns."""
    left = list(wanted)
    random.Random(rules.seed).shuffle(left)
    failed: list[Measured] = []
    for at in range(0, len(left), GROUP):
        progress(f"measuring, {GROUP} at a time", at, len(left))
        group = [found for one in left[at : at + GROUP] if (found := into.converted(one))]
        runs = protocol.measure(there, [_model(into, one) for one in group], rules, _hushed)
        for one in group:
            told = _measured(one, there, [run for run in runs if run.model.artifact == one.candidate.name], rules)
            if told.p50_ms:
                into.keep(told, where, rules)
            else:
                failed.append(told)
    progress(f"measuring, {GROUP} at a time", len(left), len(left))
    return DevicePlan(there.facts, (), (), tuple(failed))


def _hushed(label: str, done: float, total: float | None) -> None:
    """A round of a group is over in seconds; the groups are what is told."""


def _model(into: Kept, one: Converted) -> Model:
    file = into.place(one.candidate) / Path(one.file).name
    return Model(one.candidate.name, file, one.sha256, RUNTIMES[file.suffix], Input.TENSOR, _steps(one.candidate))


def _measured(one: Converted, there: Device, runs: list[Run], rules: BenchRules) -> Measured:
    """One whose launches did not all end well was not measured."""
    spec = there.facts.spec
    if not runs:
        return Measured(one.candidate, spec, reason="the device does not offer the unit that was asked for")
    centres = [centre for centre in runs[0].centres() if 0 < centre < math.inf]
    if runs[0].fault or len(centres) < rules.launches:
        return Measured(one.candidate, spec, reason=runs[0].fault or "it told no times")
    return Measured(one.candidate, spec, statistics.median(centres), min(centres), max(centres), one.bytes, len(centres))


def conclude(
    blank: Plan, of: Grid, held_out: tuple[Candidate, ...], measured: tuple[Measured, ...], into: Path, progress: Progress
) -> Plan:
    """The plan with cost models and choices, written into the folder `into` with a picture. Raises EdgevitError for too few."""
    from edgevit.pictures.paper import LIGHT
    from edgevit.pictures.plan import predicted

    progress("fitting", 0, None)
    apart = frozenset(held_out)
    devices = tuple(
        _fitted(device, [one for one in measured if one.device == device.device.spec], apart) for device in blank.devices
    )
    found = choose.choices(grid.candidates(of), devices, blank.budget)
    plan = dataclasses.replace(blank, devices=devices, choices=found, order=choose.ORDER)
    with folder.files_written_whole(into) as partial:
        record.write(partial / kept.PLAN, plan)
        (partial / kept.PICTURE).write_bytes(predicted(plan).png(LIGHT))
    return plan


def _fitted(device: DevicePlan, measured: list[Measured], held_out: frozenset[Candidate]) -> DevicePlan:
    kinds = {(one.candidate.target, one.candidate.recipe): one.candidate for one in measured if one.candidate not in held_out}
    pairs = []
    for kind in kinds.values():
        alike = costs.of_kind(measured, kind)
        fit = [one for one in alike if one.candidate not in held_out]
        if len(fit) >= grid.LEAST:
            pairs.append(costs.model(fit, [one for one in alike if one.candidate in held_out]))
    if not pairs:
        why = next((one.reason for one in device.failed), "")
        raise EdgevitError(f"too few candidates could be measured on {device.device.spec}: {why or 'none'}", "run it again")
    points = tuple(point for _, each in pairs for point in each)
    models = tuple(model for model, _ in pairs)
    errors, spread = costs.held_out_error(points), costs.spread(points)
    return dataclasses.replace(device, models=models, points=points, held_out_error=errors, spread=spread)

"""Latency before training: which models there could be, how long some take on each device, and which of all keep to a budget."""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import quantize
import targets
from edgevit import record, stage
from edgevit.errors import BadInput, EdgevitError
from edgevit.memory import available
from edgevit.pipeline import side_by_side
from edgevit.pipeline.side_by_side import Room, Work
from edgevit.planning import grid as grids
from edgevit.planning import kept as keeping
from edgevit.planning.grid import Grid
from edgevit.planning.kept import Kept
from edgevit.stage import Children
from edgevit.types import BenchRules, Candidate, Choice, Design, DevicePlan, Measured, Plan, PlanBudget, Progress
from edgevit.versions import machine, sources, versions
from edgevit.vit.config import parameters
from targets import devices
from targets.devices import PLAIN, Access

BY_DEFAULT = ("executorch", "tflite")
AT_ONCE = 8
"""Files that one process makes: its libraries take seconds to load, and memory that it never gives back."""


def kinds(target_names: Sequence[str], recipe_names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of target and recipe, of those that are installed where none is named. Raises BadInput, NotInstalled."""
    named = target_names or [name for name in BY_DEFAULT if not targets.missing(targets.get(name))] or BY_DEFAULT[:1]
    for target in map(targets.get, named):
        targets.require(target)
        for recipe in map(quantize.get, recipe_names):
            targets.require_recipe(target, recipe)
            if recipe.calibrates:
                raise BadInput(f"{recipe.name} looks at images, of which a plan has none", "--recipe int8 is as fast, or nearly")
    return tuple(dict.fromkeys((target, recipe) for target in named for recipe in recipe_names))


def plan(
    grid: Grid, design: Design, budget: PlanBudget, rules: BenchRules, specs: Sequence[str], out: Path, force: bool,
    progress: Progress, access: Access = PLAIN, keep_files: bool = False,
) -> Plan:  # fmt: skip
    """Measure some candidates of the grid on each device, fit, and list all that keep to the budget; `out` has it whole.

    What was made and measured stays in `out` when it is interrupted, and is not done again; files go when all is done, unless
    they are to be kept. Raises BadInput, DeviceFault, and EdgevitError where too few could be measured.
    """
    started, specs = time.monotonic(), list(dict.fromkeys(specs))
    for spec in specs:
        devices.kind(spec)
    keeping.refuse(out, force)
    every = grids.candidates(grid)
    fit, held_out = grids.chosen(every, design)
    kept = Kept(out, {target: _identity(target, design.seed) for target, _ in grid.kinds})
    unmade = _convert([one for one in (*fit, *held_out) if _lacking(kept, one, specs, rules)], kept, design.seed, progress)
    told = _measure((*fit, *held_out), kept, specs, rules, access, progress)
    found = [_found(kept, one, spec, rules) for spec in specs for one in (*fit, *held_out)]
    blank = Plan(budget, design, rules, len(every), tuple(_with(device, unmade) for device in told), (), "", _versions(grid))
    blank = replace(
        blank, seconds=time.monotonic() - started, made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    arguments = {"blank": blank, "of": grid, "held_out": held_out, "measured": [one for one in found if one], "into": out}
    made = stage.run("edgevit.jobs.plan:conclude", Plan, progress, **arguments).value
    if not keep_files:
        shutil.rmtree(out / keeping.FILES, ignore_errors=True)
    return made


def _identity(target: str, seed: int) -> str:
    """Of all that a file of random weights depends on besides its shape."""
    libraries = versions("torch", *(library.module for library in targets.get(target).needs))
    return hashlib.sha256(record.encode([libraries, sources(), seed])).hexdigest()


def _versions(grid: Grid) -> dict[str, str]:
    modules = [library.module for target, _ in grid.kinds for library in targets.get(target).needs]
    return versions("torch", *dict.fromkeys(modules))


def _where(spec: str) -> str:
    """What measurements are kept by: a folder may be carried to another machine, which is `local` too."""
    return f"{spec}, {machine()}" if spec == "local" else spec


def _found(kept: Kept, one: Candidate, spec: str, rules: BenchRules) -> Measured | None:
    return kept.measured(one, _where(spec), rules)


def _lacking(kept: Kept, one: Candidate, specs: Sequence[str], rules: BenchRules) -> bool:
    """Whether its file is needed and not there."""
    return not all(_found(kept, one, spec, rules) for spec in specs) and kept.converted(one) is None


def _convert(wanted: Sequence[Candidate], kept: Kept, seed: int, progress: Progress) -> list[Measured]:
    """Make the files, each target's in processes of its own beside the others; those that could not be made, and why."""
    names = list(dict.fromkeys(one.target for one in wanted))
    share = max(1, (os.cpu_count() or 1) // max(1, len(names)))
    works = []
    for name in names:
        mine = [one for one in wanted if one.target == name]
        peak = targets.get(name).footprint.bytes(4 * max(parameters(one.shape) for one in mine))
        for part in range(share):
            do = partial(_convert_all, mine[part::share], kept, seed)
            works.append(Work(f"{name} {part + 1}" if share > 1 else name, partial(int, peak), do))
    largest = 4 * max((parameters(one.shape) for one in wanted), default=0)
    room = side_by_side.room(None, largest, available(), os.cpu_count() or 1)
    return [failed for each in side_by_side.in_order(works, room, progress) for failed in each]


def _convert_all(wanted: list[Candidate], kept: Kept, seed: int, progress: Progress, children: Children) -> list[Measured]:
    """One that stops its process is left out, and the others go on behind it."""
    failed, left = [], list(wanted)
    while left:
        part, left = left[:AT_ONCE], left[AT_ONCE:]
        reason = "its file is not whole"
        try:
            children.run("edgevit.jobs.plan:convert", int, progress, candidates=part, into=kept, seed=seed)
        except BadInput:
            raise
        except EdgevitError as error:
            reason = error.message
        undone = [one for one in part if kept.converted(one) is None]
        failed += [Measured(one, "", reason=reason) for one in undone[:1]]
        left = undone[1:] + left
    return failed


def _measure(
    wanted: Sequence[Candidate], kept: Kept, specs: Sequence[str], rules: BenchRules, access: Access, progress: Progress
) -> list[DevicePlan]:
    """Every device at the same time, each with what it lacks."""
    works = []
    for spec in specs:
        lacking = [one for one in wanted if _found(kept, one, spec, rules) is None and kept.converted(one)]
        works.append(Work(spec, int, partial(_measure_on, lacking, kept, spec, rules, access)))
    return list(side_by_side.in_order(works, Room(len(works), 1), progress))


def _measure_on(
    wanted: list[Candidate], kept: Kept, spec: str, rules: BenchRules, access: Access, progress: Progress, children: Children
) -> DevicePlan:
    arguments = {"wanted": wanted, "into": kept, "device": spec, "where": _where(spec), "rules": rules, "access": access}
    return children.run("edgevit.jobs.plan:measure", DevicePlan, progress, **arguments).value


def _with(device: DevicePlan, unmade: list[Measured]) -> DevicePlan:
    return replace(device, failed=(*(replace(one, device=device.device.spec) for one in unmade), *device.failed))


def planned(path: Path, number: int) -> Choice:
    """The choice of that number, from 1, of the plan in a file or a folder. Raises BadInput, DamagedFile."""
    file = path / keeping.PLAN if path.is_dir() else path
    if not file.is_file():
        raise BadInput(f"no such plan: {file}", "edgevit plan --out makes one")
    found = record.read(file, Plan).choices
    if not 1 <= number <= len(found):
        raise BadInput(f"there is no choice {number} in {file}", f"it has {len(found)}" if found else "none kept to its budget")
    return found[number - 1]

"""The command that knows latency before training: plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console
from edgevit.cli.app import command, exit_code
from edgevit.cli.bench import Adb, Affinity, BenchmarkModel, Devices, ExecutorRunner, Keep, Threads, Wait
from edgevit.cli.options import Force, Json, cores, duration, size
from edgevit.errors import BadInput, UnknownName
from edgevit.types import BenchRules, Candidate, Choice, Design, DevicePlan, Plan, PlanBudget, Unit

RULES = BenchRules(runs=30, warmup=5, launches=3, most_launches=3)
UNQUIET = 0.15
"""Launches of one file differ by 2 to 10 % on a quiet machine, and by 60 % beside three other programs (docs/log.md)."""
SHOWN = 15
"""Choices of the table; plan.json has all."""
CHOICES = ("no.", "model", "target", "recipe", "GMACs", "MB", "p50 ms", "9 in 10 between")
MODELS = ("target", "recipe", "fitted", "left out", "held out", "9 in 10 between")


def _restrict(name: str, words: str) -> object:
    return typer.Option(name, help=f"{words}; may be repeated.", rich_help_panel="The grid")


Variants = Annotated[
    list[str], _restrict("--variant", "Width, heads and mlp of Nano, Ti, S or 256x8x4x1024. Default: seven widths")
]
Patches = Annotated[list[int], _restrict("--patch", "Pixels. Default: 8, 16, 32")]
Sizes = Annotated[list[str], _restrict("--image-size", "Pixels of a square. Default: nine from 96 to 384")]
Depths = Annotated[list[int], _restrict("--depth", "Blocks. Default: 4, 6, 8, 10, 12")]
Recipes = Annotated[list[str], _restrict("--recipe", "Default: fp32 and int8")]
Targets = Annotated[list[str], _restrict("--target", "Default: executorch and tflite, as far as they are installed")]
Most = Annotated[
    float | None,
    typer.Option(
        "--max-gmacs",
        min=0.001,
        help="Billions of multiply-adds at the most. Default: 5.",
        rich_help_panel="The grid",
    ),
]


@command
def plan(
    out: Annotated[Path, typer.Option("--out", help="The folder of plan.json and plan.png; run again, it goes on there.")],
    device: Devices = ["local"],  # noqa: B006
    max_p50: Annotated[float | None, typer.Option("--max-p50", min=1e-3, help="Budget: milliseconds for one image.")] = None,
    max_mb: Annotated[float | None, typer.Option("--max-mb", min=1e-3, help="Budget: MB of the file.")] = None,
    variant: Variants = [],  # noqa: B006
    patch: Patches = [],  # noqa: B006
    image_size: Sizes = [],  # noqa: B006
    depth: Depths = [],  # noqa: B006
    recipe: Recipes = ["fp32", "int8"],  # noqa: B006
    target: Targets = [],  # noqa: B006
    max_gmacs: Most = None,
    classes: Annotated[int, typer.Option("--classes", min=1, max=1 << 16, help="That the head tells apart.")] = 10,
    measure: Annotated[int, typer.Option("--measure", min=1, help="Candidates that the cost model is fitted to.")] = 40,
    held_out: Annotated[int, typer.Option("--held-out", min=0, help="Others, drawn at random, on which it is judged.")] = 10,
    runs: Annotated[int, typer.Option("--runs", min=3, help="Timed calls of each.")] = RULES.runs,
    warmup: Annotated[int, typer.Option("--warmup", min=1, help="Untimed calls before them, in each launch.")] = RULES.warmup,
    launches: Annotated[int, typer.Option("--launches", min=1, help="Processes of each.")] = RULES.launches,
    unit: Annotated[str, typer.Option("--unit", help="cpu, gpu, npu or all.")] = "cpu",
    threads: Threads = None,
    affinity: Affinity = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the choice of candidates, the weights and the order.")] = 0,
    wait: Wait = "10m",
    keep: Keep = False,
    adb: Adb = None,
    benchmark_model: BenchmarkModel = None,
    executor_runner: ExecutorRunner = None,
    keep_files: Annotated[bool, typer.Option("--keep-files", help="Leave the files of random weights in --out.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Latency before training: measure models of random weights on devices, predict the rest, and list what keeps to a budget.

    edgevit train --from-plan OUT trains one of them.
    """
    from edgevit import pipeline
    from targets.devices import Access
    from targets.devices.programs import Programs

    if unit not in list(Unit):
        raise UnknownName("unit", unit, [one.value for one in Unit])
    rules = BenchRules(
        max(runs, launches), warmup, launches, launches, threads=threads, affinity=cores(affinity), images=0, seed=seed,
        units=(Unit(unit),),
    )  # fmt: skip
    grid = pipeline.Grid(
        tuple(variant), tuple(patch) or pipeline.Grid.patches, _sides(image_size) or pipeline.Grid.sizes,
        tuple(depth) or pipeline.Grid.depths, pipeline.kinds(target, recipe), classes,
        1e9 * max_gmacs if max_gmacs else pipeline.Grid.most,
    )  # fmt: skip
    budget = PlanBudget(max_p50, round(1e6 * max_mb) if max_mb else None)
    access = Access(Programs(adb, benchmark_model, executor_runner=executor_runner), duration(wait), keep)
    design = Design(measure, held_out, seed)
    try:
        with console.progress() as progress:
            made = pipeline.plan(grid, design, budget, rules, device, out, force, progress, access, keep_files)
    except KeyboardInterrupt as stop:
        console.note(f"stopped; what was made and measured stays in {out}, and the same command goes on with it")
        raise typer.Exit(exit_code(stop)) from None
    console.json(made) if json else show(made, out)
    if not made.choices:
        raise typer.Exit(1)


def _sides(texts: list[str]) -> tuple[int, ...]:
    found = [one for text in texts if (one := size(text))]
    if other := [f"{height}x{width}" for height, width in found if height != width]:
        raise BadInput(f"a plan is of squares, not of {', '.join(other)}", "give one number: 224")
    return tuple(height for height, _ in found)


def show(made: Plan, out: Path) -> None:
    for device in made.devices:
        console.table(f"Errors of the cost models on {device.device.spec}", MODELS, model_rows(device))
        for line in device_notes(device):
            console.note(line)
    if not made.choices:
        console.out(f"none of {made.candidates} candidates keeps to the budget")
        return
    console.table(f"{len(made.choices)} of {made.candidates} candidates keep to the budget", CHOICES, choice_rows(made.choices))
    console.note(f"order: {made.order}")
    if not all(choice.sure for choice in made.choices):
        console.note("?: it keeps to the budget, but its interval does not")
    console.note(f"\nnext: edgevit train --from-plan {out} --choice 1 --data IMAGES --out runs/planned")


def model_rows(device: DevicePlan) -> list[list[str]]:
    return [
        [m.target, m.recipe, str(m.fitted), f"{100 * m.loo_error:.1f} %", _held_out(m.held_out_error, m.held_out),
         f"{m.low:.2f} to {m.high:.2f} times"]
        for m in device.models
    ]  # fmt: skip


def _held_out(error: float | None, points: int) -> str:
    return "none" if error is None else f"{100 * error:.1f} % of {points}"


def device_notes(device: DevicePlan) -> list[str]:
    held_out = sum(point.held_out for point in device.points)
    notes = ["errors are medians of |predicted / measured - 1|: of points left out one by one, and of those that no fit has seen"]
    if device.held_out_error is not None:
        notes.append(f"all {held_out} held-out points together: median error {100 * device.held_out_error:.1f} %")
    if device.spread > UNQUIET:
        notes.append(
            f"{device.device.spec} was busy with other work: launches of one file differ by {100 * device.spread:.0f} % "
            "(median). What follows from that is worth little: plan again, with another --out, when nothing else runs there"
        )
    if device.device.spec == "local":
        notes.append("this machine is the host: its figures are no phone's")
    return notes + [f"not measured: {one.candidate.name}: {one.reason}" for one in device.failed]


def choice_rows(choices: tuple[Choice, ...]) -> list[list[str]]:
    """The slowest device of each choice counts."""
    rows = []
    for number, choice in enumerate(choices[:SHOWN], 1):
        slowest = max(choice.estimates, key=lambda estimate: estimate.p50_ms)
        one = choice.candidate
        between = "measured" if slowest.measured else f"{slowest.low_ms:.2f}-{slowest.high_ms:.2f}"
        rows.append(
            [str(number), model_name(one), one.target, one.recipe, f"{choice.multiply_adds / 1e9:.2f}",
             f"{choice.bytes / 1e6:.1f}", f"{slowest.p50_ms:.2f}{'' if choice.sure else ' ?'}", between]
        )  # fmt: skip
    return rows


def model_name(one: Candidate) -> str:
    from edgevit.vit.config import shown

    return f"{one.shape.variant} at {shown(one.shape.image_size)}"

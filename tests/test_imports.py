"""Who may know whom: the plan of the house as a table, held against every import; and what `--help` may load."""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

from edgevit.cli import (  # noqa: F401  (they register their commands)
    bench,
    curves,
    device,
    inside,
    learn,
    look,
    mix,
    plan,
    road,
    shards,
    show,
    weights,
    work,
)  # fmt: skip
from edgevit.cli.app import app

ROOT = Path(__file__).parent.parent
PACKAGES = ("edgevit", "quantize", "converters", "targets")

SIBLINGS = (
    "edgevit.training",
    "edgevit.checks",
    "edgevit.bench",
    "edgevit.report",
    "edgevit.inside",
    "edgevit.pictures",
    "edgevit.app",
    "edgevit.planning",
    "edgevit.sweeping",
    "edgevit.stage",
    "edgevit.child",
)

FLOORS = (
    ("edgevit.__main__",),
    ("edgevit.cli",),
    ("edgevit.pipeline", "edgevit.doctor"),
    ("edgevit.jobs",),
    (*SIBLINGS, "quantize", "converters", "targets"),
    ("edgevit.artifact", "edgevit.checkpoint", "edgevit.cache", "edgevit.methods"),
    ("edgevit.vit", "edgevit.data"),
    ("edgevit.kept",),
    (
        "edgevit.folder",
        "edgevit.record",
        "edgevit.versions",
        "edgevit.held",
        "edgevit.interval",
        "edgevit.ranking",
        "edgevit.lean",
        "edgevit.memory",
        "edgevit.onednn",
        "edgevit.protomaps",
        "edgevit.warm",
        "edgevit.limit",
        "edgevit.said",
        "edgevit.toml",
    ),
    ("edgevit.types",),
    ("edgevit.errors",),
    ("edgevit",),
)
"""Rooms from the top floor to the cellar. An import goes to the own room or to a lower floor, never across or up."""

TFLITE_FILES = (
    "converters.flatbuffer", "converters.int8_graph", "converters.integer_graph", "converters.integers", "converters.litert",
    "converters.operator_versions", "converters.products", "converters.tflite_metadata", "converters.uint8_input",
    "converters.whole_scales",
)  # fmt: skip
ONLY_IN = {
    "typer": ("edgevit.cli",),
    "rich": ("edgevit.cli",),
    "click": ("edgevit.cli",),
    "jinja2": ("edgevit.report", "edgevit.app"),
    "matplotlib": ("edgevit.report", "edgevit.pictures"),
    "sklearn": ("edgevit.data",),
    "plotille": ("edgevit.cli.charts",),
    "tensorboard": ("edgevit.training.watching.tensorboard",),
    "wandb": ("edgevit.training.watching.wandb",),
    "mlflow": ("edgevit.training.watching.mlflow",),
    "scipy": ("edgevit.planning",),
    "optuna": ("edgevit.sweeping.shared", "edgevit.sweeping.opening"),
    "sqlalchemy": (),
    "datasets": ("edgevit.data.huggingface",),
    "huggingface_hub": ("edgevit.vit.foreign.hub",),
    "torchao": ("quantize", "converters"),
    "executorch": (
        "converters.executorch", "converters.executorch_coreml", "converters.executorch_vulkan", "converters.lowering",
        "converters.operators", "converters.static", "converters.unrepeated", "targets.bundle", "targets.etdump",
        "targets.executorch", "targets.program", "targets.devices.worker",
    ),
    "coremltools": (
        "converters.mlprogram", "converters.executorch_coreml", "targets.coreml", "targets.devices.worker",
        "targets.devices.apple", "targets.mil",
    ),
    "litert_torch": ("converters.tflite", "converters.tflite_gpu"),
    "ai_edge_quantizer": ("converters.tflite", "converters.tflite_gpu"),
    "ai_edge_litert": (
        *TFLITE_FILES, "converters.tflite", "targets.files.tflite", "targets.litert", "targets.tflite_gpu",
        "targets.tflite_runtimes", "targets.tflite_trace", "targets.devices.worker",
    ),
    "tensorflow": ("targets.tflite_runtimes",),
    "tflite_support": ("targets.tflite_runtimes",),
    "tensorflow_lite_support": ("converters.tflite_metadata",),
    "libusb_package": ("edgevit.lean",),
    "google": ("edgevit.protomaps",),
}  # fmt: skip
"""One seam to each library: the rooms that may import it."""

HEAVY = {
    "torch", "torchao", "numpy", "executorch", "coremltools", "tensorflow", "litert_torch", "ai_edge_litert", "ai_edge_quantizer",
    "tflite_support", "matplotlib", "sklearn", "scipy", "pandas", "tensorboard", "safetensors", "PIL", "jinja2",
    "datasets", "huggingface_hub", "transformers", "optuna", "sqlalchemy", "plotille", "wandb", "mlflow",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One name that a module imports; `lazy` inside a function, `typing` for the type checker alone."""

    by: str
    name: str
    line: int
    lazy: bool
    typing: bool

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.name}"


@cache
def modules() -> dict[str, Path]:
    """Every module of the project by its name."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for name, file in modules().items() for found in _walk(name, ast.parse(file.read_text()), False, False))


def _walk(by: str, node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(by, alias.name, child.lineno, lazy, typing) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0 and child.module, f"{by}:{child.lineno}: a relative import, where all others are absolute"
            inner = (f"{child.module}.{alias.name}" for alias in child.names)
            names = [name if name in modules() else child.module for name in inner]
            yield from (Import(by, name, child.lineno, lazy, typing) for name in dict.fromkeys(names))
        elif isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from _walk(by, child, lazy, True)
        else:
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(by, child, inside, typing)


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def _room(module: str) -> str:
    rooms = [room for floor in FLOORS for room in floor if module == room or (room != "edgevit" and _within(module, room))]
    return max(rooms, key=len, default="")


def _floor(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def _ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def test_the_reader_of_imports_sees_them() -> None:
    """Were it blind, all below would pass."""
    seen = {(found.by, found.name, found.lazy, found.typing) for found in imports()}
    assert ("edgevit.pipeline.training", "edgevit.training.run_settings", False, False) in seen
    assert ("edgevit.cli.work", "edgevit.pipeline", True, False) in seen
    assert ("edgevit.types.measure", "numpy", False, True) in seen
    assert ("converters.tflite", "litert_torch", False, False) in seen


def test_every_module_has_a_room() -> None:
    assert [name for name in modules() if not _room(name)] == []


def test_imports_point_down() -> None:
    wrong = []
    for found in filter(lambda found: _ours(found.name), imports()):
        assert found.name in modules(), f"{found}, which is not there"
        here, there = _room(found.by), _room(found.name)
        if here != there and _floor(there) <= _floor(here):
            wrong.append(str(found))
    assert wrong == []


def test_no_circles_at_import_time() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for found in imports():
        if _ours(found.name) and not found.lazy and not found.typing and found.name != found.by:
            graph[found.by].add(found.name)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_has_one_seam(library: str) -> None:
    users = [found for found in imports() if found.name.partition(".")[0] == library and not found.typing]
    assert [str(user) for user in users if not any(_within(user.by, room) for room in ONLY_IN[library])] == []


@pytest.mark.parametrize("module", ["edgevit", "edgevit.types", "edgevit.errors", "edgevit.versions", "edgevit.folder"])
def test_the_cellar_needs_the_standard_library_alone(module: str) -> None:
    names = {found.name for found in imports() if found.by == module and not found.typing and not _ours(found.name)}
    assert {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names} == set()


def test_the_package_itself_imports_nothing() -> None:
    assert [str(found) for found in imports() if found.by == "edgevit"] == []


def test_only_the_command_line_prints() -> None:
    """Data on stdout is JSON for machines: one stray print breaks it."""
    printing = []
    for name, file in modules().items():
        calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
        if not _within(name, "edgevit.cli"):
            printing += [f"{name}:{c.lineno}" for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    assert printing == []


def test_the_wheel_lists_every_package_and_no_test() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(name for name, file in modules().items() if file.name == "__init__.py")


def test_no_other_distribution_claims_our_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in PACKAGES:
        assert {owner.lower() for owner in owners.get(name, [])} <= {"edgevit"}, f"{name} is also in {owners[name]}"


def _loaded(*arguments: str) -> set[str]:
    """The packages in `sys.modules` after the application ran with `arguments`, and ended well."""
    program = (
        "import contextlib, io, json, sys\n"
        "from edgevit.cli import main\n"
        f"sys.argv = ['edgevit', *{list(arguments)!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "    try:\n"
        "        main()\n"
        "        code = 0\n"
        "    except SystemExit as left:\n"
        "        code = left.code or 0\n"
        "print(json.dumps([code, len(out.getvalue()), sorted(m for m, loaded in sys.modules.items() if loaded)]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    code, printed, names = json.loads(ran.stdout)
    assert code == 0 and printed > 0
    return {name.partition(".")[0] for name in names}


COMMANDS = tuple(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_commands_of_the_promise_are_there() -> None:
    promised = "demo train eval explain export check bench report predict targets recipes models doctor"
    assert set(promised.split()) <= set(COMMANDS)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)], ids=" ".join)
def test_help_is_light(arguments: tuple[str, ...]) -> None:
    loaded = _loaded(*arguments)
    assert "typer" in loaded and loaded & HEAVY == set()


@pytest.mark.parametrize("command", ["targets", "recipes", "models"])
def test_showing_what_there_is_loads_no_back_end(command: str) -> None:
    """The records of the targets know numpy; nothing more is needed to say what can be done."""
    assert _loaded(command, "--json") & (HEAVY - {"numpy"}) == set()

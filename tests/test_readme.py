"""What the README tells people to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from edgevit.cli.app import app

ROOT = Path(__file__).parents[1]
LINES = [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    ")]
COMMANDS = [line.partition("#")[0] for line in LINES]


def _options() -> dict[str, set[str]]:
    """Every command of the program with its options."""
    from edgevit.cli import curves, device, learn, look, measure, mix, plan, road, shards, show, weights, work  # noqa: F401

    group = typer.main.get_command(app)
    return {name: {o for p in c.params for o in p.opts} for name, c in group.commands.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("edgevit ")])
def test_commands_and_options_exist(line: str) -> None:
    _, command, *words = shlex.split(line)
    options = _options()
    assert command in options
    assert {w for w in words if w.startswith("--")} <= options[command]


def test_make_targets_exist() -> None:
    rules = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {line.split()[1] for line in COMMANDS if line.startswith("make ")}
    assert asked >= {"demo", "test"} and asked <= rules


def test_every_command_is_named() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in _options() if f"`{name}`" not in text and f"edgevit {name}" not in text] == []


def test_pictures_are_there() -> None:
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / picture).is_file(), picture


def test_every_install_line_names_an_extra() -> None:
    """`pip install 'edgevit[x]'` as targets and README say it."""
    import tomllib

    import targets

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    said = set(re.findall(r"edgevit\[(\w+)\]", (ROOT / "README.md").read_text()))
    assert said | {library.extra for t in targets.all_targets() for library in t.needs} <= extras.keys()

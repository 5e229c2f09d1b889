"""What reaches a terminal is what was meant: no emoji, no escape sequence, and a word where nothing seems to move."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from edgevit.cli import console
from edgevit.errors import BadInput

HOSTILE = "\x1b]0;owned\x07\x1b[31m:cat: [red]runs/x\r\x9b2J\udce9\tü\n\\"
SHOWN = "\\x1b]0;owned\\x07\\x1b[31m:cat: [red]runs/x\\x0d\\x9b2J\\xe9"


@pytest.fixture(params=[False, True], ids=["file", "terminal"])
def screens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What both consoles have written so far."""
    written = io.StringIO()
    for name in ("_out", "_err"):
        screen = getattr(console, name)
        options = {"soft_wrap": screen.soft_wrap, "highlight": False, "emoji": screen._emoji}
        monkeypatch.setattr(
            console, name, Console(file=written, width=200, force_terminal=request.param, no_color=True, **options)
        )
    return written.getvalue


@pytest.mark.parametrize("say", [console.out, console.note, lambda text: console.error(BadInput(text, text))])
def test_a_hostile_name_is_spelled_out(screens: Callable[[], str], say: Callable[[str], None]) -> None:
    say(HOSTILE)
    assert SHOWN in screens() and "ü\n\\" in screens()
    assert not set("\x07\r\x9b\udce9😺🐱🐈") & set(screens()) and "\x1b[31m" not in screens()


def test_a_table_shows_the_very_characters(capsys: pytest.CaptureFixture[str]) -> None:
    console.table("in :cat:/[red]", ("name",), [[":smile: \x1b[31m"], ["PASS"]])
    shown = capsys.readouterr().out
    assert "in :cat:/[red]" in shown and ":smile: \\x1b[31m" in shown and "\x1b" not in shown


def test_a_bar_shows_the_very_characters(screens: Callable[[], str]) -> None:
    with console.progress() as progress:
        progress("reading :cat: [red]\x1b]0;x\x07", 1, 1)
    assert "reading :cat: [red]\\x1b]0;x\\x07" in screens()


def _lines(*steps: tuple[str, float, float | None]) -> None:
    lines = console._Lines()
    for step in steps:
        lines(*step)
        for waiting in list(lines.waiting.values()):
            waiting.join(0.2)
    lines.stop()


def test_what_has_no_end_is_named_once_it_lasts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "LASTS", 0.01)
    _lines(("importing", 0, None), ("importing", 0, None), ("counting", 1, 2), ("counting", 2, 2))
    assert capsys.readouterr().err == "importing\ncounting: done\n"


def test_what_is_over_soon_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as progress:
        progress("importing", 0, None)
        progress("counting", 2, 2)
        progress("converting", 0, None)
    assert capsys.readouterr().err == "counting: done\n"


def test_works_at_once_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Their labels come in turns, and each is done once. That one is over is no news."""
    _lines(("reading", 1, 1), ("a: counting", 0, 2), ("b: counting", 0, 2), ("a: counting", 2, 2), ("b: counting", 2, 2))
    _lines(("a: ", 1, 1))
    assert capsys.readouterr().err == "reading: done\na: counting: done\nb: counting: done\n"


def test_one_work_does_not_hush_what_another_waits_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LASTS", 0.05)
    lines = console._Lines()
    lines("a: converting", 0, None)
    timer = lines.waiting["a"]
    lines("b: counting", 0, 2)
    timer.join(5)
    lines.stop()
    assert capsys.readouterr().err == "a: converting\n"


def test_works_at_once_have_a_bar_each() -> None:
    bars = console._Bars(console.RichProgress(console=Console(file=io.StringIO())))

    def shown() -> list[tuple[str, float]]:
        return [(task.description, task.completed) for task in bars.bars.tasks]

    for step in (("answers", 1, 1), ("a: importing", 0, None), ("b: counting", 1, 4), ("a: converting", 0, None)):
        bars(*step)
    assert sorted(shown()) == [("a: converting", 0), ("b: counting", 1)]
    bars("b: counting", 3, 4)
    bars("a: ", 1, 1)
    assert shown() == [("b: counting", 3)]

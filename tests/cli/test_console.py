"""What reaches a terminal is what was meant: no emoji, no escape sequence, and a word where nothing seems to move."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from edgevit.cli import console
from edgevit.errors import BadInput
from edgevit.types import Label, mark, read_label, say

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


def test_what_is_said_aloud_is_a_line_of_its_own_everywhere(screens: Callable[[], str]) -> None:
    with console.progress() as progress:
        say(lambda label, done, total: progress(f"lr 0.1: {label}", done, total), "wandb is gone")
        mark(progress, "epoch 1/2: loss 1.5")
    assert "warning: lr 0.1: wandb is gone\n" in re.sub(r"\x1b\[[\d;]*m", "", screens())
    assert ("epoch 1/2: loss 1.5" in screens()) != console._err.is_terminal, "a bar has told it"


def test_a_work_may_change_its_words_and_know_its_time() -> None:
    """One bar from beginning to end, with the time that is left as the work says it."""
    bars = console._Bars(console.RichProgress(console=Console(file=io.StringIO(), width=100)))
    bars(str(Label("training", "epoch 1/2, loss 2.0", 3725.4)), 1, 10)
    first = bars.bars.tasks[0]
    bars(str(Label("training", "epoch 2/2, loss 1.0", 5.0)), 9, 10)
    (task,) = bars.bars.tasks
    assert task.id == first.id and (task.description, task.completed, task.total) == ("epoch 2/2, loss 1.0", 9, 10)
    assert console._Left().render(task).plain == "0:00:05" and console._Count().render(task).plain == "90 %"
    bars("a: reading", 1, 2)
    plain = bars.bars.tasks[-1]
    assert console._Count().render(plain).plain == "1/2" and "a: reading" in [task.description for task in bars.bars.tasks]


def test_of_a_narrow_terminal_the_words_are_cut_and_not_the_time() -> None:
    bars = console._Bars(console.RichProgress(console=Console(file=io.StringIO(), width=80)))
    bars(str(Label("training", "epoch 1/2, " + "x" * 80, 5.0)), 1, 10)
    assert len(bars.bars.tasks[0].description) == 80 - console.BESIDE and bars.bars.tasks[0].description.endswith("…")


def test_a_work_with_words_is_one_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    _lines((str(Label("training", "epoch 1/2", 9.0)), 1, 2), (str(Label("training", "epoch 2/2", 0.0)), 2, 2))
    assert capsys.readouterr().err == "training: done\n"


@pytest.mark.parametrize("text", ["plain", "a: b", "x\x1fy\x1fnan", "x\x1fy\x1finf", "x\x1fy\x1fz", "x\x1fy\x1f"])
def test_a_label_is_read_whatever_it_is(text: str) -> None:
    found = read_label(text)
    assert found.left is None and text.startswith(found.work)

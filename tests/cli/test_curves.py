"""The command `curves`, what `train` says when it is over, and charts in a terminal."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from edgevit.cli import charts, console, courses
from edgevit.types import Course, Watched

RunCli = Callable[..., subprocess.CompletedProcess[str]]
ROWS = tuple(
    {
        "epoch": float(n), "loss": 2 / n, "val_loss": 3 / n if n < 4 else 2.0, "val_top1": 0.9 if n == 3 else 0.5,
        "seconds": 10.0 * n, "images_per_second": 1234.4, "mfu": 0.31, "data_wait": 0.025, "peak_gb": 11.25,
    }
    for n in range(1, 6)
)  # fmt: skip


def course(name: str = "run", rows: tuple[dict[str, float], ...] = ROWS, **given: Watched) -> Course:
    return Course(name, Path(name), rows, **given)  # type: ignore[arg-type]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 100 columns without colours."""
    written = io.StringIO()
    shown = Console(file=written, force_terminal=True, color_system=None, width=100, soft_wrap=True, highlight=False)
    monkeypatch.setattr(console, "_out", shown)
    return written


def test_the_last_epoch_the_best_and_what_one_took() -> None:
    assert courses.lines(course()) == [
        "last epoch 5: top-1 50.00 %, training loss 0.4000, held-out loss 2.0000; best top-1 90.00 % in epoch 3",
        "35.0 s an epoch, 1,234 images/s, MFU 31.0 %, 2.5 % of the time waiting for images, 11.2 GB of memory at most",
    ]
    assert courses.lines(course(rows=({"epoch": 1.0, "val_loss": 0.5},))) == ["last epoch 1: held-out loss 0.5000"]
    assert courses.lines(course(rows=({"epoch": 1.0},))) == []
    masked = ({"epoch": 1.0, "val_loss": 0.25, "val_colours": 0.5}, {"epoch": 2.0, "val_loss": 0.5})
    assert courses.lines(course(rows=masked)) == ["last epoch 2: held-out loss 0.5000; best held-out loss 0.2500 in epoch 1"]


def test_a_terminal_shows_charts(screen: io.StringIO) -> None:
    courses.show([course()])
    shown = screen.getvalue()
    assert "Loss  ━ training  ━ held-out" in shown and "Top-1, %" in shown and "Throughput, images/s" in shown
    assert any(0x2800 < ord(char) < 0x2900 for char in shown) and max(map(len, shown.splitlines())) <= 100


def test_after_a_training_there_are_the_two_that_matter(screen: io.StringIO) -> None:
    courses.show([course()], courses.AFTER)
    assert "Loss" in screen.getvalue() and "Throughput" not in screen.getvalue()


def test_several_runs_have_one_legend(screen: io.StringIO) -> None:
    courses.show([course("one"), course("two", ROWS[:2]), course("none", ({"epoch": 1.0},))])
    assert screen.getvalue().startswith("━ one  ━ two  ━ none") and screen.getvalue().count("━ two") == 1


def test_elsewhere_each_metric_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    courses.show([course(rows=ROWS[:2])], ["Loss"])
    assert capsys.readouterr().out == "Loss, training: 2 in epoch 1, 1 in epoch 2\nLoss, held-out: 3 in epoch 1, 1.5 in epoch 2\n"


def test_a_chart_is_the_line() -> None:
    """From the lower left to the upper right, its ends in the corners and on the axes."""
    found = charts.chart("rising", [charts.Drawn("", ((1, 0.0), (9, 40.0)), 0)], 24, 4).plain
    rows = [line[line.index("┤" if "┤" in line else "│") + 1 :] for line in found.splitlines()[1:-2]]
    assert ord(rows[0].rstrip()[-1]) & 0b1001 and ord(rows[-1][0]) & 0b11000000, "the highest dots of a character, and the lowest"
    assert [len(row) - len(row.lstrip()) for row in rows] == sorted((len(row) - len(row.lstrip()) for row in rows), reverse=True)
    assert found.splitlines()[1].startswith("40 ┤") and found.splitlines()[4].startswith(" 0 ┤") and found.endswith("9")


@pytest.mark.parametrize("line", [((1, 2.0),), ((1, 2.0), (2, 2.0)), ((1, 0.0),), ((0, -3.0), (0, -3.0)), ((1, 1e-9), (2, 1e9))])
def test_a_chart_of_little_is_one(line: tuple[tuple[float, float], ...]) -> None:
    assert any(0x2800 < ord(char) < 0x2900 for char in charts.chart("x", [charts.Drawn("", line, 0)], 30, 3).plain)


def test_lines_that_cross_share_a_character_of_the_later_colour() -> None:
    one, two = (
        charts.Drawn(name, line, number) for number, (name, line) in enumerate((("a", ((0, 0), (1, 1))), ("b", ((0, 1), (1, 0)))))
    )
    text = charts.chart("crossing", [one, two], 20, 3)
    styles = {str(span.style) for span in text.spans}
    assert {"cyan", "yellow"} <= styles


def test_what_failed_to_watch_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    courses.faults(course(watched=Watched(faults={"wandb": "did not take all"})))
    assert capsys.readouterr().err == "warning: wandb did not take all\n"


def test_curves_of_a_run(run_cli: RunCli, checkpoint: Path, tmp_path: Path) -> None:
    ran = run_cli("curves", checkpoint, "--out", "a.png", "--html", "a.html", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "last epoch 1: top-1" in ran.stdout and ran.stdout.endswith("a.png\na.html\n")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG") and "Settings" in (tmp_path / "a.html").read_text()
    again = run_cli("curves", checkpoint, "--out", "a.png", cwd=tmp_path)
    assert again.returncode == 2 and "already exists: a.png" in again.stderr


def test_curves_for_machines(run_cli: RunCli, checkpoint: Path) -> None:
    (found,) = json.loads(run_cli("curves", checkpoint, "--json").stdout)
    assert found["run"] == str(checkpoint) and found["rows"][0]["epoch"] == 1 and found["watched"]["faults"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), "no story of a training in nothing"),
        (("RUN", "--out", "a.jpg"), "its name ends in .png"),
        (("RUN", "--html", "no/a.html"), "no folder no for a.html"),
        (("RUN",) * 9, "9 runs over each other cannot be told apart"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    run_cli: RunCli, checkpoint: Path, arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    ran = run_cli("curves", *(checkpoint if word == "RUN" else word for word in arguments), cwd=tmp_path)
    assert ran.returncode == 2 and said in ran.stderr and "Traceback" not in ran.stderr and not list(tmp_path.iterdir())


def test_train_says_who_cannot_watch_before_it_begins(run_cli: RunCli, training: tuple[str, ...], tmp_path: Path) -> None:
    ran = run_cli(*training, "--out", tmp_path / "run", "--watch", "neptune")
    assert ran.returncode == 2 and "unknown watch: neptune" in ran.stderr and not (tmp_path / "run").exists()

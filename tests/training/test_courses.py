"""The stories of trainings as they are read: of one that goes on, that was stopped, or that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.errors import BadInput, DamagedFile
from edgevit.training import courses
from edgevit.types import Course, Panel, Series, panels

NAN = float("nan")


def write(run: Path, *rows: dict[str, float]) -> Path:
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def course(*rows: dict[str, float], name: str = "run") -> Course:
    return Course(name, Path(name), rows)


def test_a_run_is_found_from_its_checkpoints_too(checkpoint: Path) -> None:
    whole = courses.read(checkpoint)
    assert whole.best and whole.best.train and whole.name == checkpoint.name and len(whole.rows) == 1
    assert courses.read(checkpoint / "best").rows == courses.read(checkpoint / "last").rows == whole.rows


def test_one_without_a_whole_checkpoint_has_rows_all_the_same(tmp_path: Path) -> None:
    found = courses.read(write(tmp_path / "run.partial", {"epoch": 1, "loss": 2.0}))
    assert (found.best, found.name, found.rows) == (None, "run", ({"epoch": 1, "loss": 2.0},))


def test_what_is_no_training_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path, write(tmp_path / "empty")):
        with pytest.raises(BadInput, match="no story of a training"):
            courses.read(path)
    (write(tmp_path / "broken", {"epoch": 1}) / "best").mkdir()
    (tmp_path / "broken" / "best" / "checkpoint.json").write_text("{}")
    with pytest.raises(DamagedFile):
        courses.read(tmp_path / "broken")


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [write(tmp_path / folder / "run", {"epoch": 1, "loss": 1.0}) for folder in ("a", "b")]
    other = write(tmp_path / "other", {"epoch": 1, "loss": 1.0})
    assert [one.name for one in courses.read_all([*runs, other])] == [str(runs[0]), str(runs[1]), "other"]


def test_a_line_is_finite_and_in_its_epochs() -> None:
    found = course({"epoch": 2, "loss": 1}, {"epoch": 3, "loss": NAN}, {"epoch": 4}, {"loss": 0.5})
    assert found.line("loss", 10) == ((2, 10), (4.0, 5.0)) and found.line("lr") == ()


def test_a_mean_leaves_the_epoch_out_that_warms_up() -> None:
    assert course({"seconds": 9.0}, {"seconds": 1.0}, {}, {"seconds": 3.0}).mean("seconds") == 2
    assert course({"seconds": 9.0}).mean("seconds") == 9 and course({}).mean("seconds") is None


def test_there_is_a_chart_for_what_was_measured_and_no_other() -> None:
    """One that nobody knows has its own; one that was never finite has none."""
    one, two = (
        course({"epoch": 1, "loss": 1.0, "z_loss": 2.0, "grad_norm": NAN}),
        course({"epoch": 1, "val_loss": 1.0, "mfu": 0.3}),
    )
    assert [(panel.title, [series.key for series in panel.series]) for panel in panels((one, two))] == [
        ("Loss", ["loss", "val_loss"]), ("Model flops utilisation", ["mfu"]), ("z loss", ["z_loss"]),
    ]  # fmt: skip
    assert panels([course({"epoch": 1.0})]) == ()
    assert panels([one])[0] == Panel("Loss", (Series("loss", "training"),))

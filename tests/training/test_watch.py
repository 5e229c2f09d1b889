"""Who follows a training: whatever a watcher does, the training goes on, and what went wrong is known at the end."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgevit import pipeline
from edgevit.errors import BadInput, DamagedFile, NotInstalled
from edgevit.training import courses, run_settings, watch, watching
from edgevit.training.watching import kept, scrub, story
from edgevit.types import TrainConfig, Watched
from edgevit.types.work import SAID

ASKED = TrainConfig("digits", epochs=3, lr=1e-3, watch="wandb")
ROWS = [{"epoch": float(epoch), "loss": 1 / epoch, "val_top1": 1 - 1 / (epoch + 1)} for epoch in (1, 2, 3)]


class Noted:
    """A watcher that notes its calls; `failing` says how often each fails first, and what `hangs` never comes back."""

    def __init__(self, failing: Mapping[str, int] | None = None, hangs: str = "") -> None:
        self.failing, self.hangs = dict(failing or {}), hangs
        self.calls: list[tuple[object, ...]] = []
        self.threads: set[int] = set()

    def _call(self, name: str, *what: object) -> None:
        self.threads.add(threading.get_ident())
        if self.hangs == name:
            threading.Event().wait()
        if self.failing.get(name, 0):
            self.failing[name] -= 1
            raise ConnectionError(f"no way to {name}")
        self.calls.append((name, *what))

    def begin(self, settings: Mapping[str, object], resumed_from: int | None) -> None:
        self._call("begin", dict(settings), resumed_from)

    def row(self, metrics: Mapping[str, float]) -> None:
        self._call("row", metrics["epoch"])

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self._call("step", step, dict(metrics))

    def end(self, ending: str) -> None:
        self._call("end", ending)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    """In the place of the watcher that is asked for."""
    found = Noted()
    monkeypatch.setattr(watching, "load", lambda *_: found)
    return found


def follow(run: Path, keep: int = 0, rows: list[dict[str, float]] = ROWS, settings: TrainConfig = ASKED) -> list[str]:
    """Train in name; what was said aloud."""
    said: list[str] = []
    with watch.Watch(run, keep, settings, lambda label, done, total: said.append(label)) as following:
        for row in rows:
            following.step(10 * int(row["epoch"]), {"loss": row["loss"]})
            following.row(row)
    return [label.replace(SAID, "") for label in said if SAID in label]


def test_a_watcher_gets_all_in_order_beside_the_training(noted: Noted, tmp_path: Path) -> None:
    assert follow(tmp_path / "run") == []
    (_, settings, resumed), *rest = noted.calls
    assert settings["lr"] == 1e-3 and settings["data"] == "digits" and not {"watch", "said"} & settings.keys() and resumed is None
    steps = [("step", 10 * n, {"loss": 1 / n}) for n in (1, 2, 3)]
    assert rest == [call for n in (1, 2, 3) for call in (steps[n - 1], ("row", float(n)))] + [("end", "finished")]
    assert threading.get_ident() not in noted.threads and len(noted.threads) == 1
    assert courses.read(tmp_path / "run").watched.faults == {}


def test_what_is_missed_is_offered_again(noted: Noted, tmp_path: Path) -> None:
    """A server that is away for a while has everything at the end, and both are said."""
    noted.failing = {"begin": 1, "row": 2}
    said = follow(tmp_path / "run")
    assert said == ["wandb does not follow the training, which goes on: ConnectionError: no way to begin"]
    assert [call[1] for call in noted.calls if call[0] == "row"] == [1, 2, 3] and noted.calls[-1] == ("end", "finished")
    assert "and then took all that it had missed" in courses.read(tmp_path / "run").watched.faults["wandb"]


def test_one_that_never_works_is_said_once_and_at_the_end(noted: Noted, tmp_path: Path) -> None:
    noted.failing = {"row": 1000}
    assert len(follow(tmp_path / "run")) == 1
    words = courses.read(tmp_path / "run").watched.faults["wandb"]
    assert words == "did not take all of the training: ConnectionError: no way to row"
    assert story.read(tmp_path / "run" / story.LINES) == ROWS, "the story is whole all the same"


def test_one_that_hangs_is_not_waited_for(noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted.hangs = "row"
    monkeypatch.setitem(watch.PATIENCE, "finished", 0.1)
    assert follow(tmp_path / "run") == []
    assert "was not waited for" in courses.read(tmp_path / "run").watched.faults["wandb"]
    assert [call[0] for call in noted.calls] == ["begin", "step"]


@pytest.mark.parametrize(
    ("error", "ending"), [(KeyboardInterrupt(), "stopped"), (SystemExit(143), "stopped"), (ValueError("nan"), "failed")]
)
def test_a_watcher_is_told_how_it_ended(noted: Noted, error: BaseException, ending: str, tmp_path: Path) -> None:
    with pytest.raises(type(error)), watch.Watch(tmp_path / "run", 0, ASKED):
        raise error
    assert noted.calls[-1] == ("end", ending)


def test_one_that_calls_for_an_exit_ends_nothing(noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noted, "begin", lambda *_: sys.exit(1))
    assert follow(tmp_path / "run") == ["wandb does not follow the training, which goes on: SystemExit: 1"]


def test_going_on_drops_rows_and_keeps_names_and_machines(noted: Noted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with watch.Watch(run, 0, ASKED, machine="one") as following:
        following.kept.id("wandb", "abc-1")
        for row in ROWS:
            following.row(row)
    with watch.Watch(run, 1, ASKED, machine="two") as following:
        assert following.rows == ROWS[:1] and following.kept.found.ids == {"wandb": "abc-1"}
    assert [call[2] for call in noted.calls if call[0] == "begin"] == [None, 1]
    assert courses.read(run).watched == Watched(("one", "two"), {"wandb": "abc-1"})
    with watch.Watch(run, 0, ASKED, machine="three") as following:
        assert following.rows == [] and following.kept.found == Watched(("three",)), "a new run has a name of its own"


def test_what_went_wrong_before_a_run_went_on_is_over(noted: Noted, tmp_path: Path) -> None:
    noted.failing = {"row": 1}
    follow(tmp_path / "run")
    follow(tmp_path / "run", keep=3, rows=[])
    assert courses.read(tmp_path / "run").watched.faults == {}


@pytest.mark.parametrize("text", ["{", '{"machines": 3}', '{"ids": {"wandb": "../../etc"}}', '{"ids": {"wandb": "a b"}}'])
def test_names_that_are_none_are_refused(noted: Noted, text: str, tmp_path: Path) -> None:
    follow(tmp_path / "run")
    (tmp_path / "run" / kept.FILE).write_text(text)
    with pytest.raises(DamagedFile, match=r"watch\.json"):
        watch.Watch(tmp_path / "run", 3, ASKED)


@pytest.mark.parametrize("text", ["{", "[1]", '{"epoch": "1"}', '{"epoch": true}', "1e3", '{"a": {}}', "[" * 100_000])
def test_a_story_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / story.LINES).write_text(text + "\n")
    with pytest.raises(DamagedFile, match="no lines of metrics"):
        story.read(tmp_path / story.LINES)


def test_a_full_disk_ends_the_training_only_where_the_story_is(
    noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher's fault cannot be kept then, and is said."""
    noted.failing = {"row": 1000}
    said: list[str] = []
    with watch.Watch(tmp_path / "run", 0, ASKED, lambda label, done, total: said.append(label)) as following:
        monkeypatch.setattr(kept.folder, "write_whole", _full)
        following.row(ROWS[0])
    assert any("not kept: No space left" in label for label in said)
    monkeypatch.setattr(story.os, "replace", _full)
    with (
        pytest.raises(OSError, match="No space left"),
        watch.Watch(tmp_path / "other", 0, TrainConfig("x", watch="none")) as other,
    ):
        other.row(ROWS[0])


def _full(*_: object) -> None:
    raise OSError(28, os.strerror(28))


def test_tensorboard_gets_epochs_and_steps_apart(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow(tmp_path / "run", settings=TrainConfig("digits"))
    epochs, steps = (EventAccumulator(str(tmp_path / "run" / folder)) for folder in ("tensorboard", "tensorboard/steps"))
    epochs.Reload()
    steps.Reload()
    assert [(event.step, round(event.value, 4)) for event in epochs.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 0.3333)]
    assert [event.step for event in steps.Scalars("loss")] == [10, 20, 30]


def test_who_watches_is_asked_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library, and a name that is none."""
    monkeypatch.setattr(watching.importlib.util, "find_spec", lambda name: None)
    for name in ("wandb", "mlflow"):
        with pytest.raises(NotInstalled, match=f"--watch {name} needs .* not installed") as caught:
            pipeline.train(TrainConfig("digits", watch=f"tensorboard,{name}"), tmp_path / "run", False, lambda *_: None)
        assert f"pip install 'edgevit[{name}]'" in caught.value.hint
    assert not (tmp_path / "run").exists()
    with pytest.raises(BadInput, match="unknown watch: neptune; known: none, tensorboard, wandb, mlflow"):
        pipeline.settings({"data": "digits", "watch": "wandb,neptune"})


def test_a_folder_of_the_same_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights & Biases leaves one called wandb where it was run."""
    for name in ("wandb", "mlflow"):
        (tmp_path / name).mkdir()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(NotInstalled, match="not installed"):
        watching.require(["tensorboard", "wandb"])


def test_a_library_that_is_there_and_broken_is_no_surprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(NotInstalled, match="--watch wandb needs Weights & Biases, which cannot be loaded"):
        watch.Watch(tmp_path / "run", 0, ASKED)


def test_watchers_are_named_once_and_none_is_nobody() -> None:
    assert TrainConfig("x", watch="wandb, tensorboard,wandb").watchers == ("wandb", "tensorboard")
    assert TrainConfig("x", watch="none").watchers == () and TrainConfig("x").watchers == ("tensorboard",)


KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "text",
    [
        f"wandb: no such key {KEY}", "cannot reach http://me:hunter2@server:5000/api", "api_key='hunter2'", "token: hunter2",
        "Authorization: Bearer hunter2", "wandb_v1_hunter2 is not valid", "what MY_SECRET said: correct horse",
    ],
)  # fmt: skip
def test_no_secret_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "correct horse")
    found = scrub.scrubbed(text)
    assert "***" in found and not any(secret in found for secret in (KEY, "hunter2", "correct horse"))


def test_no_secret_reaches_the_folder_of_a_run(noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(noted, "row", lambda *_: (_ for _ in ()).throw(OSError(f"refused: http://u:p4ssword@host?key={KEY}")))
    said = follow(tmp_path / "run")
    held = "".join(file.read_text() for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert "refused: http://***@host" in held and not any(s in held + str(said) for s in (KEY, "p4ssword"))


def test_a_run_that_was_stopped_in_its_first_epoch_is_in_nobody_s_way(noted: Noted, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), watch.Watch(run, 0, ASKED) as following:
        following.kept.id("wandb", "abc")
        raise KeyboardInterrupt
    (run / "tensorboard").mkdir()
    assert os.listdir(run) and run_settings.place(run, force=False) == run


def test_what_is_drawn_belongs_to_a_run(noted: Noted, tmp_path: Path) -> None:
    """`--force` takes it away with the run, and does not refuse over it."""
    follow(tmp_path / "run")
    for name in (run_settings.CURVES, run_settings.PAGE, "metrics.partial", ".curves.png.partial"):
        (tmp_path / "run" / name).write_text("")
    run_settings.refuse_loss(tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("")
    with pytest.raises(BadInput, match=r"notes\.txt"):
        run_settings.refuse_loss(tmp_path / "run")


def test_the_rows_of_a_story_are_its_own_lines(noted: Noted, tmp_path: Path) -> None:
    follow(tmp_path / "run")
    lines = (tmp_path / "run" / story.LINES).read_text().splitlines()
    assert [json.loads(line) for line in lines] == ROWS == watch.read(tmp_path / "run" / story.LINES)

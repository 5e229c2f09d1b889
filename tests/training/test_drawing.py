"""The curves of a training while it goes on: drawn beside it, seldom, and over with it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from edgevit import pipeline, stage
from edgevit.errors import EdgevitError, StageFailed
from edgevit.pipeline import drawing
from edgevit.types import Course, mark
from edgevit.types.work import SAID


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What children were asked for, in place of children."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(drawing.Children, "run", lambda self, job, kind, progress, **given: asked.append(given))
    return asked


def _settle(sketch: drawing.Sketch) -> None:
    if sketch.thread:
        sketch.thread.join(30)


def test_it_is_drawn_behind_epochs_and_seldom(drawn: list[dict[str, Any]], tmp_path: Path) -> None:
    labels: list[str] = []
    sketch = drawing.Sketch(tmp_path, lambda label, done, total: labels.append(label))
    mark(sketch, "epoch 1")
    assert not drawn, "not before its time"
    sketch.next = 0.0
    sketch("epoch 2", 1, 10)
    assert not drawn, "not within an epoch"
    mark(sketch, "epoch 2")
    _settle(sketch)
    assert len(drawn) == 1 and drawn[0]["runs"] == (tmp_path,) and drawn[0]["picture"] == tmp_path / "curves.png"
    assert drawn[0]["page"] is None and sketch.next > 0
    mark(sketch, "epoch 3")
    assert len(drawn) == 1 and len(labels) == 4, "not again so soon; and all is told on"


def test_a_slow_drawing_comes_seldomer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    times = iter((0.0, 100.0, 110.0, 110.0))
    monkeypatch.setattr(drawing.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(drawing.Children, "run", lambda *_, **__: None)
    sketch = drawing.Sketch(tmp_path, lambda *_: None)
    sketch._draw()
    assert sketch.next == 110 + 60 * 10


def test_one_at_a_time_and_none_after_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stopping ends the child that draws."""
    begun, ended = threading.Event(), threading.Event()
    count = []

    def run(self: object, *_: object, **__: object) -> None:
        count.append(1)
        begun.set()
        assert ended.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(drawing.Children, "run", run)
    monkeypatch.setattr(drawing.Children, "stop", lambda self: ended.set())
    sketch = drawing.Sketch(tmp_path, lambda *_: None)
    for _ in range(3):
        sketch.next = 0.0
        mark(sketch, "epoch")
        assert begun.wait(30)
    sketch.stop()
    assert len(count) == 1 and sketch.thread and not sketch.thread.is_alive()


def test_a_drawing_that_fails_while_it_goes_on_is_let_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StageFailed("no room")

    monkeypatch.setattr(drawing.Children, "run", fail)
    sketch = drawing.Sketch(tmp_path, lambda *_: None)
    sketch._draw()
    sketch.stop()


def test_the_last_one_that_fails_is_said_and_costs_nobody_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EdgevitError("no room")

    monkeypatch.setattr(stage, "run_within", fail)
    said: list[str] = []
    drawing.drawn(tmp_path, lambda label, done, total: said.append(label))
    assert f"{SAID}the curves were not drawn: no room" in said


def test_a_training_leaves_its_picture_and_its_page(checkpoint: Path) -> None:
    assert (checkpoint / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (checkpoint / "training.html").read_text()
    assert f"Training of {checkpoint.name}" in page and "edgevit train --data" in page
    found = pipeline.course(checkpoint)
    assert isinstance(found, Course) and len(found.watched.machines) == 1


def test_a_whole_drawing_in_a_child(checkpoint: Path, tmp_path: Path) -> None:
    """By the real child, of a run that has no whole checkpoint yet."""
    sketch = drawing.Sketch(checkpoint, lambda *_: None)
    sketch.run = tmp_path
    (tmp_path / "metrics.jsonl").write_bytes((checkpoint / "metrics.jsonl").read_bytes())
    sketch._draw()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob("*.partial"))

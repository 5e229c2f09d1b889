"""A search from its first trial to the training at its end, with a training that takes no time in place of the real one."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

from edgevit import checkpoint as checkpoints
from edgevit import pipeline, record
from edgevit.errors import BadInput, Diverged, StageCrashed, StageFailed
from edgevit.pipeline import sweeping, training, trying
from edgevit.training import watch
from edgevit.types import Checkpoint, Ending, Preprocess, Progress, Sweep, TrainConfig, Trial, silent
from edgevit.vit.config import config

TRAIN = TrainConfig(data="digits", model="Pico/8")
MADE = Checkpoint(config("Pico/8", (32, 32), 2), Preprocess((32, 32), (32, 32)), ("a", "b"), {}, "", {})
Fit = Callable[..., Checkpoint]


def _asked(*texts: str, trials: int | None = None, **changes: Any) -> pipeline.SweepAsked:
    space = pipeline.sweep_space(texts, TRAIN)
    rules = pipeline.sweep_rules(TRAIN, space, trials, False, changes.pop("prune", True))
    return pipeline.SweepAsked(TRAIN, space, rules, **changes)


class Trainer:
    """Stands for `training.fit`: top-1 follows from the rate, epoch by epoch; what else happens is said by rate."""

    def __init__(self, mishaps: dict[float, BaseException] | None = None) -> None:
        self.mishaps = mishaps or {}
        self.trained: list[TrainConfig] = []

    def __call__(self, settings: TrainConfig, run: Path, out: Path, again: bool, progress: Progress) -> Checkpoint:
        assert settings.lr is not None
        self.trained.append(settings)
        run.mkdir(parents=True, exist_ok=True)
        top1 = 1 - abs(settings.lr - 0.5)
        rows: list[dict[str, float]] = []
        for epoch in range(1, 6):
            progress(f"epoch {epoch}/5", 1, 1)
            rows.append({"epoch": epoch, "loss": 1.0, "val_top1": top1 * epoch / 5})
            (run / watch.LINES).write_text("".join(json.dumps(row) + "\n" for row in rows))
            os.utime(run / watch.LINES, ns=(epoch, epoch))
            progress(f"epoch {epoch + 1}/5", 0, 1)
            if epoch == 2 and settings.lr in self.mishaps:
                raise self.mishaps[settings.lr]
        return dataclasses.replace(MADE, metrics={"val_top1": top1, "epoch": 5.0}, train=settings)

    @property
    def rates(self) -> list[float | None]:
        return [settings.lr for settings in self.trained]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Sweep]:
    """A search with `trainer` that ends in tmp_path/run; its report is not written."""
    monkeypatch.setattr(sweeping, "_write", lambda found, into, progress: found)

    def run(trainer: Fit, asked: pipeline.SweepAsked | None, **options: Any) -> Sweep:
        monkeypatch.setattr(training, "fit", trainer)  # the final one, and below a trial's
        monkeypatch.setattr(training, "trained", lambda settings, run, *rest: trainer(settings, run, run, *rest))
        resume, tell = options.get("resume", False), options.get("tell", lambda *_: None)
        return pipeline.sweep(
            asked,
            tmp_path / options.get("out", "run"),
            options.get("force", False),
            resume,
            options.get("progress", silent),
            tell,
        )

    return run


def test_the_best_is_trained_on_everything_and_remembers_what_was_tried(search: Callable[..., Sweep], tmp_path: Path) -> None:
    trainer, told, shown = Trainer(), [], set()
    found = search(
        trainer, _asked("lr=0.1,0.4,0.9"), tell=lambda trial, trials: told.append((trial.number, len(trials))),
        progress=lambda label, done, total: shown.add(label.partition(": ")[0]),
    )  # fmt: skip
    assert [(trial.number, trial.settings, trial.ending) for trial in found.trials] == [
        (1, {"lr": 0.1}, Ending.DONE), (2, {"lr": 0.4}, Ending.DONE), (3, {"lr": 0.9}, Ending.DONE),
    ]  # fmt: skip
    assert found.best == 2 and found.final_top1 == pytest.approx(0.9) and told == [(1, 1), (2, 2), (3, 3)]
    assert trainer.rates == [0.1, 0.4, 0.9, 0.4] and [settings.dev for settings in trainer.trained] == [0.1, 0.1, 0.1, 0.0]
    assert trainer.trained[-1].tried == {"lr 0.1": pytest.approx(0.6), "lr 0.4": pytest.approx(0.9), "lr 0.9": pytest.approx(0.6)}
    assert {"trial 1 of 3", "trial 2 of 3, best 60.00 %", "trial 3 of 3, best 90.00 %"} <= shown
    assert found.again == f"edgevit train --data digits --model Pico/8 --lr 0.4 --out {tmp_path}/run-again"
    assert not (tmp_path / "run.sweep").exists()


def test_what_goes_wrong_in_one_trial_stops_no_other(search: Callable[..., Sweep]) -> None:
    mishaps = {
        0.1: Diverged("the loss is no longer a number, in epoch 3"),
        0.2: StageFailed("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
        0.3: StageCrashed("fit died: SIGKILL, perhaps out of memory"),
        0.4: StageCrashed("fit died: SIGSEGV"),
        0.6: BadInput("patch 16 of Ti/16 does not divide image size 30"),
    }
    found = search(Trainer(mishaps), _asked("lr=0.1,0.2,0.3,0.4,0.5,0.6"))
    assert [trial.ending for trial in found.trials] == [
        Ending.DIVERGED, Ending.NO_MEMORY, Ending.NO_MEMORY, Ending.FAILED, Ending.DONE, Ending.FAILED,
    ]  # fmt: skip
    assert found.trials[5].why == "patch 16 of Ti/16 does not divide image size 30" and found.trials[0].why.endswith("in epoch 3")
    assert found.best == 5 and len(found.trials[0].epochs) == 2


def test_settings_that_do_not_go_together_are_a_result_too(search: Callable[..., Sweep]) -> None:
    class Mixed(Trainer):
        def __call__(self, settings: TrainConfig, *rest: Any) -> Checkpoint:
            return super().__call__(dataclasses.replace(settings, lr=0.5), *rest)

    found = search(Mixed(), _asked("mixup=0.1,0.9", "cutmix=0.1,0.8"))
    assert [trial.ending for trial in found.trials] == [Ending.DONE, Ending.DONE, Ending.DONE, Ending.FAILED]
    assert "their sum is at most 1" in found.trials[3].why


def test_data_that_is_not_there_ends_the_search_at_once(search: Callable[..., Sweep], tmp_path: Path) -> None:
    """It is no trial's fault; once it is there, --resume begins with that very trial."""
    trainer = Trainer({0.1: BadInput("no such data: flowers")})
    with pytest.raises(BadInput, match="no such data"):
        search(lambda *_: (_ for _ in ()).throw(BadInput("no such data: flowers")), _asked("lr=0.1,0.2"))
    trainer = Trainer()
    found = search(trainer, None, resume=True)
    assert trainer.rates == [0.1, 0.2, 0.2] and [trial.attempts for trial in found.trials] == [2, 1]


def test_what_stops_the_program_gives_the_trial_back(search: Callable[..., Sweep], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(Trainer({0.2: KeyboardInterrupt()}), _asked("lr=0.1,0.2,0.3"))
    assert pipeline.sweep_begun(tmp_path / "run")
    with pytest.raises(BadInput, match="a search was begun in"):
        search(Trainer(), _asked("lr=0.1,0.2,0.3"))
    with pytest.raises(BadInput, match=r"lr: 0\.1, 0\.2, 0\.3 there, and 0\.1, 0\.9 here"):
        search(Trainer(), _asked("lr=0.1,0.9"), resume=True)
    trainer = Trainer()
    found = search(trainer, _asked("lr=0.1,0.2,0.3"), resume=True)
    assert trainer.rates == [0.2, 0.3, 0.3] and [trial.attempts for trial in found.trials] == [1, 2, 1]


def test_force_begins_anew_and_takes_nothing_of_others(search: Callable[..., Sweep], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(Trainer({0.1: KeyboardInterrupt()}), _asked("lr=0.1,0.2"))
    trainer = Trainer()
    search(trainer, _asked("lr=0.3,0.4"), force=True)
    assert trainer.rates == [0.3, 0.4, 0.4]
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="holds no run"):
        search(lambda *_: pytest.fail("work began"), _asked("lr=0.3,0.4"), force=True)


def test_nothing_to_resume(search: Callable[..., Sweep], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to resume"):
        search(Trainer(), _asked("lr=0.3,0.4"), resume=True)
    assert not (tmp_path / "run.sweep").exists()


def test_a_trial_below_the_others_is_stopped_between_epochs(search: Callable[..., Sweep]) -> None:
    trainer = Trainer()
    rates = "lr=0.5,0.51,0.52,0.53,0.54,0.05,0.55"
    found = search(trainer, _asked(rates))
    assert [trial.ending for trial in found.trials] == [Ending.DONE] * 5 + [Ending.PRUNED] * 2
    assert len(found.trials[5].epochs) == 3 and found.trials[5].top1 is None
    assert {trial.ending for trial in search(Trainer(), _asked(rates, prune=False), out="whole").trials} == {Ending.DONE}


def test_equal_settings_are_not_trained_again(search: Callable[..., Sweep]) -> None:
    """A space of two points that is drawn from more often holds no more than two trainings."""
    asked = _asked("lr=0.1,0.2")
    asked = dataclasses.replace(asked, rules=dataclasses.replace(asked.rules, trials=5, grid=False))
    trainer = Trainer()
    found = search(trainer, asked)
    assert len(found.trials) == 5 and len(trainer.trained) == len({trial.settings["lr"] for trial in found.trials}) + 1
    copied = [trial for trial in found.trials if trial.why]
    assert (
        len(copied) == 5 - len({trial.settings["lr"] for trial in found.trials})
        and "settings are those of trial" in copied[0].why
    )


def test_where_none_came_to_its_end_it_says_why(search: Callable[..., Sweep]) -> None:
    diverged = {rate: Diverged("no number") for rate in (0.1, 0.2)}
    with pytest.raises(Diverged, match="in all 2 trials"):
        search(Trainer(diverged), _asked("lr=0.1,0.2"))
    crashed = {0.1: Diverged("no number"), 0.2: StageFailed("CUDA out of memory")}
    with pytest.raises(StageFailed, match="none of 2 trials came to its end: no number") as error:
        search(Trainer(crashed), _asked("lr=0.1,0.2"), force=True)
    assert "run.sweep/sweep.html shows all" in error.value.hint


def test_a_final_training_that_was_stopped_goes_on(
    search: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run at --out is gone on with where it is that of this very search, and no other."""

    class Stopping(Trainer):
        def __call__(self, settings: TrainConfig, run: Path, out: Path, again: bool, progress: Progress) -> Checkpoint:
            if settings.dev == 0:
                (out / "last").mkdir(parents=True)
                whole = dataclasses.replace(settings, epochs=5)
                record.write(out / "last" / checkpoints.RECORD, dataclasses.replace(MADE, train=whole, metrics={"epoch": 1.0}))
                raise KeyboardInterrupt
            return super().__call__(settings, run, out, again, progress)

    with pytest.raises(KeyboardInterrupt):
        search(Stopping(), _asked("lr=0.1,0.2"))
    trainer: list[tuple[bool, TrainConfig]] = []

    def goes_on(settings: TrainConfig, run: Path, out: Path, again: bool, progress: Progress) -> Checkpoint:
        trainer.append((again, settings))
        return dataclasses.replace(MADE, metrics={"val_top1": 0.75})

    found = search(goes_on, None, resume=True)
    assert [(again, settings.lr) for again, settings in trainer] == [(True, 0.2)] and found.final_top1 == 0.75


def test_a_shared_search_has_one_training_at_its_end(search: Callable[..., Sweep], tmp_path: Path) -> None:
    asked = _asked("lr=0.1,0.2", storage=f"journal:{tmp_path}/shared", study="mine")
    first, second = Trainer(), Trainer()
    found = search(first, asked)
    assert found.name == "mine" and found.final_top1 is not None and first.rates == [0.1, 0.2, 0.2]
    again = search(second, asked)
    assert again.trials == found.trials and again.final_top1 == found.final_top1 and second.trained == []


def test_the_work_folder_stays_as_long_as_another_process_trains_at_the_end(search: Callable[..., Sweep], tmp_path: Path) -> None:
    """Two at the book beside --out: the one that only looked takes nothing away from the one that trains."""

    def looked_at(settings: TrainConfig, *rest: Any) -> Checkpoint:
        if settings.dev == 0:
            monkeyed = Trainer()
            other = search(monkeyed, None, resume=True)
            assert monkeyed.trained == [] and other.final_top1 is None and (tmp_path / "run.sweep").exists()
        return Trainer()(settings, *rest)

    assert search(looked_at, _asked("lr=0.1,0.2")).final_top1 is not None
    assert not (tmp_path / "run.sweep").exists()


def test_no_final_training_is_remembered(search: Callable[..., Sweep]) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(Trainer({0.2: KeyboardInterrupt()}), _asked("lr=0.1,0.2", final=False))
    trainer = Trainer()
    assert search(trainer, None, resume=True).final_top1 is None and trainer.rates == [0.2]


def test_without_a_final_training_there_is_a_report_alone(search: Callable[..., Sweep], tmp_path: Path) -> None:
    trainer = Trainer()
    found = search(trainer, _asked("lr=0.1,0.2", final=False))
    assert trainer.rates == [0.1, 0.2] and found.final_top1 is None and found.best == 2
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "sweep.md").write_text("of another search")
    with pytest.raises(BadInput, match="already exists"):
        search(trainer, _asked("lr=0.1,0.2", final=False))


def test_the_story_of_a_run_may_be_torn_or_strange(tmp_path: Path) -> None:
    """It is looked at while the child may write it; rows without a figure are no epochs."""
    from edgevit.sweeping.alone import Alone

    book = Alone([{"lr": 0.1}])
    begun = book.take()
    assert begun
    watched = trying.Watched(book, begun, tmp_path, "trial", silent)
    watched("epoch 1/2", 0, 1)
    rows = [
        {"epoch": 0, "val_top1": 0.1},
        {"epoch": 1, "val_loss": 1},
        {"epoch": 2, "val_top1": float("nan")},
        {"epoch": 3, "val_top1": 0.5},
    ]
    (tmp_path / watch.LINES).write_text("".join(json.dumps(row) + "\n" for row in rows))
    watched("epoch 4/4", 0, 1)
    watched("epoch 4/4", 1, 1)
    book.end(begun, Ending.DONE, 0.5, 1.0, "")
    assert book.trials()[0].epochs == (0.5,)


def test_a_report_is_written_with_what_the_machine_is(tmp_path: Path) -> None:
    """In a child, as the pipeline does it; the images that judged are counted."""
    trials = (Trial(1, {"lr": 0.1}, Ending.DONE, 0.9, (0.5, 0.9), 1.5), Trial(2, {"lr": 0.2}, Ending.DONE, 0.88))
    asked = _asked("lr=0.1,0.2")
    found = Sweep("mine", asked.train, asked.space, asked.rules, trials, 1)
    written = sweeping._write(found, tmp_path / "run", silent)
    assert sorted(os.listdir(tmp_path / "run")) == ["sweep.html", "sweep.json", "sweep.md"]
    assert record.read(tmp_path / "run" / "sweep.json", Sweep) == written
    assert 130 < written.judged_on < 160 and written.near == 1 and written.low and written.low < 0.88 < 0.9 < (written.high or 0)
    assert written.machine and "torch" in written.versions

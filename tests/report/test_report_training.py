"""The page of a training: what it says and of whom, that nothing in it runs, and that hostile names are names."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from edgevit.report import settings, training
from edgevit.types import Checkpoint, Course, Preprocess, TrainConfig, ViTConfig, Watched
from edgevit.vit.config import config

HOSTILE = '<script>alert(1)</script>"\x1b[31m\u202e'
SAID = TrainConfig("flowers/", lr=0.25, start="runs/x", mirror=False, epochs=7, said=("data", "lr", "start", "mirror", "epochs"))
DERIVED = dataclasses.replace(
    SAID, preset="finetune", batch=8, warmup=0.1, precision="float32", model="Pico/8", image_size=(16, 16), augment="photo"
)


def checkpoint(train: TrainConfig | None = DERIVED, **given: object) -> Checkpoint:
    shape: ViTConfig = config("Pico/8", (16, 16), 2)
    steps = Preprocess((16, 16), (16, 16))
    made = Checkpoint(shape, steps, ("rose", "tulip"), {"epoch": 5, "val_top1": 0.875}, "ab" * 32, {"torch": "2.11"}, train)
    return dataclasses.replace(made, **given)  # type: ignore[arg-type]


def course(name: str = "flowers", best: Checkpoint | None = None, **given: object) -> Course:
    rows = tuple(
        {"epoch": float(n), "loss": 2 / n, "val_loss": 3 / n, "val_top1": 0.8, "seconds": 60.0 + 30 * (n == 1)}
        for n in range(1, 8)
    )
    found = Course(name, Path(name), rows, best, Watched(("a processor, 2 cores",)))
    return dataclasses.replace(found, **given)  # type: ignore[arg-type]


def text(page: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", re.sub("<style>.*?</style>|<svg.*?</svg>", "", page, flags=re.S)).split())


def test_it_says_how_it_came_out_and_what_it_took() -> None:
    found = text(training.render([course(best=checkpoint(chosen_by="val_top1", skipped=("a.jpg",)))], "today"))
    assert "Top-1 87.50 % on held-out images, epoch 5 of 7" in found and "chosen by val_top1" in found
    assert "Time for an epoch 60.0 s" in found and "Time in all 7.5 min" in found and "a processor, 2 cores" in found
    assert "Skipped, unreadable: a.jpg." in found and "torch 2.11" in found and "rose, tulip" in found
    assert "Training from 2 in epoch 1 to 0.2857 in epoch 7; held-out from 3 in epoch 1" in found


def test_what_is_missing_is_said() -> None:
    run = training.build(
        [course(rows=({"epoch": 2.0, "val_loss": 0.5},), best=checkpoint(metrics={"val_loss": 0.5, "epoch": 2}))], ""
    )
    assert run.runs[0].tone == "idle" and run.runs[0].notices == ("5 epochs of it are not done.",)
    assert run.runs[0].headline == "Held-out loss 0.5000, epoch 2 of 7"
    bare = text(training.render([course(watched=Watched())], "today"))
    assert "Not recorded: no checkpoint is whole." in bare and "Machine: not recorded." in bare
    faulty = training.build([course(best=checkpoint(), watched=Watched(faults={"wandb": "did not take all"}))], "").runs[0]
    assert faulty.tone == "idle" and "wandb did not take all" in faulty.notices


def test_nothing_in_it_runs_and_names_stay_names() -> None:
    train = dataclasses.replace(DERIVED, data=HOSTILE)
    hostile = course(HOSTILE, checkpoint(train, labels=(HOSTILE, "b"), skipped=(HOSTILE,), versions={HOSTILE: HOSTILE}))
    for page in (training.render([hostile], HOSTILE), training.render([hostile, course("other")], HOSTILE)):
        assert (
            "<script" not in page and "\x1b" not in page and "\u202e" not in page and "http" not in page.replace("http-equiv", "")
        )
        assert "default-src &#39;none&#39;" in page and page.lstrip().startswith("<!doctype html>")


def test_several_runs_lie_over_each_other() -> None:
    page = training.build([course("one", checkpoint()), course("two")], "today")
    assert page.title == "2 trainings" and [entry.name for entry in page.legend] == ["one", "two"]
    loss = page.charts[0]
    assert "var(--c0)" in loss.svg and "var(--c1)" in loss.svg and "stroke-dasharray" in loss.svg
    assert loss.caption == "At the end, held-out: one 0.4286, two 0.4286." and "two, training from 2 in epoch 1" in loss.alt


def test_every_setting_says_who_decided_it() -> None:
    found = {row.name: (row.value, row.by) for row in settings.rows(DERIVED)}
    assert found["learning rate"] == ("0.25", "said") and found["mirrored images"] == ("no", "said")
    assert found["batch, images"] == ("8", "the preset finetune") and found["precision"] == ("float32", "the device")
    assert (
        found["image size"] == ("16 x 16 px", "the checkpoint that it began from")
        and found["augment"][1] == "the kind of the images"
    )
    assert found["seed"] == ("0", "the usual") and found["preset"][1] == "what it began from"
    assert [row.by for row in settings.rows(DERIVED)][:5] == ["said"] * 5
    assert {row.by for row in settings.rows(dataclasses.replace(DERIVED, said=None))} == {"not recorded"}
    alone = dataclasses.replace(DERIVED, start=None, pool="cls")
    assert (settings.by("image_size", alone), settings.by("pool", alone)) == ("the images", "the usual")
    tried = dataclasses.replace(DERIVED, tried={"0.25": 0.9, "1": None})
    assert settings.by("lr", tried) == "the best of 2 that were tried"


def options(command: str) -> set[str]:
    import typer

    from edgevit.cli import learn  # noqa: F401
    from edgevit.cli.app import app

    group = typer.main.get_command(app)
    return {o for p in group.commands[command].params for o in (*p.opts, *p.secondary_opts)}  # type: ignore[attr-defined]


def test_the_command_gives_the_same_again() -> None:
    assert settings.command(DERIVED, "my run") == (
        "edgevit train --data flowers/ --lr 0.25 --from runs/x --no-mirror --epochs 7 --out 'my run'"
    )
    tried = dataclasses.replace(DERIVED, tried={"0.25": 0.9, "1": None})
    assert "--lr-grid 0.25,1" in settings.command(tried, "x") and "--lr 0.25" not in settings.command(tried, "x")


@pytest.mark.parametrize("objective", ["classes", "masked patches"])
def test_all_of_the_command_are_options(objective: str) -> None:
    """Also where it is not known what was said, and so all is."""
    whole = dataclasses.replace(
        DERIVED, said=None, objective=objective, keep_head=objective == "classes", freeze=True, quantize="int4", teacher="t",
        distil="soft", ema=0.9, keep_patches=None,
    )  # fmt: skip
    words = shlex.split(settings.command(whole, "x"))
    assert words[1] == ("train" if objective == "classes" else "pretrain")
    assert {word for word in words if word.startswith("--")} <= options(words[1])

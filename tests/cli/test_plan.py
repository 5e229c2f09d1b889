"""`edgevit plan` as it is typed, and training what was planned."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import targets
from edgevit import checkpoint as checkpoints
from edgevit import record
from edgevit.cli import learn
from edgevit.cli import plan as commands
from edgevit.cli.app import app
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import BenchRules, Candidate, Choice, Design, DeviceFacts, DevicePlan, Estimate, Plan, PlanBudget
from edgevit.vit.config import config

RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """The folder of a plan with two choices, of two image sizes."""
    estimates = (Estimate("pi", 2.5, 2, 3, False),)
    shapes = [config("64x3x2x96/8", (side, side), 10) for side in (24, 16)]
    found = [Choice(Candidate(shape, "tflite", "int8"), 1, 1, 1, estimates, True) for shape in shapes]
    made = Plan(PlanBudget(), Design(), BenchRules(), 2, (), tuple(found), "", {})
    (tmp_path / "plan").mkdir()
    record.write(tmp_path / "plan" / "plan.json", made)
    return tmp_path / "plan"


def test_a_choice_decides_model_and_image_size(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert learn._planned(plan, None, {"lr": 0.1}) == {"model": "64x3x2x96/8", "image_size": (24, 24)}
    assert learn._planned(plan / "plan.json", 2, {}) == {"model": "64x3x2x96/8", "image_size": (16, 16)}
    assert learn._planned(None, None, {"model": "Ti/16"}) == {}
    assert "planned: 64x3x2x96/8 at 24, tflite int8: 2.50 ms on pi" in capsys.readouterr().err


@pytest.mark.parametrize(("spread", "told"), [(0.05, False), (0.646, True)])
def test_a_plan_beside_other_work_says_that_it_is_worth_little(spread: float, told: bool) -> None:
    notes = commands.device_notes(DevicePlan(DeviceFacts("ssh://pi"), (), (), spread=spread))
    busy = "ssh://pi was busy with other work: launches of one file differ by 65 % (median)"
    assert any(note.startswith(busy) for note in notes) == told


@pytest.mark.parametrize("name", learn.OF_A_SHAPE)
def test_what_would_change_the_model_is_refused(plan: Path, name: str) -> None:
    with pytest.raises(BadInput, match="--from-plan decides the model"):
        learn._planned(plan, None, {name: "anything"})


@pytest.mark.parametrize(("number", "words"), [(3, "no choice 3"), (0, "no choice 0")])
def test_a_choice_that_is_not_there(plan: Path, number: int, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        learn._planned(plan, number, {})


def test_no_plan_and_a_damaged_one(plan: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such plan"):
        learn._planned(tmp_path, None, {})
    with pytest.raises(BadInput, match="--choice is one of a plan"):
        learn._planned(None, 1, {})
    (plan / "plan.json").write_text('{"choices": []}')
    with pytest.raises(DamagedFile):
        learn._planned(plan, None, {})


def test_what_was_planned_is_trained(run_cli: RunCli, plan: Path, images: Path, tmp_path: Path) -> None:
    arguments = ("--from-plan", plan, "--choice", 2, "--data", images, "--epochs", 1, "--batch", 8)
    ran = run_cli("train", *arguments, "--out", tmp_path / "run")
    assert ran.returncode == 0, ran.stderr
    shape = checkpoints.read(tmp_path / "run").config
    assert (shape.width, shape.depth, shape.heads, shape.mlp, shape.patch, shape.image_size) == (64, 3, 2, 96, 8, (16, 16))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--variant", "Huge"), "unknown variant: Huge"),
        (("--target", "nowhere"), "unknown target: nowhere"),
        (("--recipe", "int4-g32"), "looks at images"),
        (("--image-size", "96x128"), "a plan is of squares"),
        (("--device", "toaster"), "no such device: toaster"),
        (("--unit", "tpu"), "unknown unit: tpu"),
        (("--measure", "2"), "too few"),
    ],
)
def test_misuse_is_said_before_any_work(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    if targets.missing(targets.get("tflite")):
        pytest.skip("tflite is not installed")
    ran = CliRunner().invoke(app, ["plan", "--out", str(tmp_path / "plan"), "--target", "tflite", *arguments])
    assert ran.exit_code == 2 and words in ran.stderr
    assert not (tmp_path / "plan").exists()


def test_whoever_stops_it_is_told_how_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgevit.pipeline.plan", stop)
    monkeypatch.setattr("edgevit.pipeline.kinds", lambda *_: (("tflite", "fp32"),))
    ran = CliRunner().invoke(app, ["plan", "--out", str(tmp_path / "plan")])
    assert ran.exit_code == 130 and "the same command goes on with it" in ran.stderr


@pytest.mark.slow
def test_a_plan_of_this_machine(run_cli: RunCli, tmp_path: Path) -> None:
    """Six small models and one held out, made, launched and fitted; nothing is said here of how near the fit comes."""
    if targets.missing(targets.get("tflite")):
        pytest.skip("tflite is not installed")
    arguments = ("plan", "--target", "tflite", "--recipe", "fp32", "--variant", "64x4x2x128", "--patch", 16, "--depth", 1)
    sizes = [word for side in (64, 80, 96, 112) for word in ("--image-size", side)]
    arguments = (*arguments, "--depth", 2, *sizes, "--measure", 6, "--held-out", 1, "--launches", 1, "--runs", 3)
    ran = run_cli(*arguments, "--out", tmp_path / "plan", "--json", timeout=900)
    assert ran.returncode == 0, ran.stderr
    made = record.decode(ran.stdout, Plan)
    (device,) = made.devices
    assert len(device.points) == 7 and not device.failed and len(made.choices) == made.candidates == 8
    assert all(point.measured.p50_ms and point.measured.bytes > 100_000 for point in device.points)
    assert json.loads((tmp_path / "plan" / "plan.json").read_text()) == json.loads(ran.stdout)

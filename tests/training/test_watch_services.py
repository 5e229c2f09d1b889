"""Weights & Biases and MLflow: the libraries themselves where they are installed, and everywhere stand-ins of the same calls.

The project's own tests do not install them, so the stand-ins hold what is called, and the real ones, by `pip install
'edgevit[wandb,mlflow]'`, that it is what they take.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgevit.training import watch
from edgevit.types import TrainConfig

KEY = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"epoch": float(epoch), "loss": 1 / epoch, "val_top1": 1 - 1 / (epoch + 1)} for epoch in (1, 2, 3, 4)]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, and folders of this test."""
    for name, value in {
        "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_API_KEY": KEY, "WANDB_CACHE_DIR": str(tmp_path / "cache"),
        "MLFLOW_TRACKING_URI": f"file:{tmp_path / 'mlruns'}", "MLFLOW_ALLOW_FILE_STORE": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in (
        "WANDB_RUN_ID",
        "WANDB_PROJECT",
        "WANDB_NAME",
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_RUN_NAME",
    ):
        monkeypatch.delenv(name, raising=False)


def follow(run: Path, name: str, keep: int, rows: list[dict[str, float]]) -> watch.Watch:
    with watch.Watch(run, keep, TrainConfig("digits", epochs=4, lr=1e-3, watch=name)) as following:
        for row in rows:
            following.step(10 * int(row["epoch"]), {"loss": row["loss"]})
            following.row(row)
    assert following.kept.found.faults == {}
    return following


def interrupted(run: Path, name: str) -> str:
    """A training that goes on after its second epoch; the name of its run at the service."""
    first = follow(run, name, 0, ROWS[:2]).kept.found.ids[name]
    assert follow(run, name, 2, ROWS[2:]).kept.found.ids[name] == first
    return first


def test_the_real_mlflow_has_one_run_of_all_epochs(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    client, run = MlflowClient(), interrupted(tmp_path / "flowers", "mlflow")
    found = client.get_run(run)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "flowers")
    assert found.data.params["lr"] == "0.001" and client.get_experiment(found.info.experiment_id).name == "edgevit"
    assert [(m.step, m.value) for m in client.get_metric_history(run, "loss")] == [(n, 1 / n) for n in (1, 2, 3, 4)]
    assert [m.step for m in client.get_metric_history(run, "step/loss")] == [10, 20, 30, 40]


def test_the_real_wandb_goes_on_under_one_name(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    run = interrupted(tmp_path / "flowers", "wandb")
    files = list((tmp_path / "wandb").glob(f"offline-run-*-{run}/run-{run}.wandb"))
    held = b"".join(file.read_bytes() for file in files)
    assert files and b"val_top1" in held and b"step/loss" in held
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


class Standing:
    """What is asked of a service, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def note(self, *what: Any) -> None:
        self.asked.append(what)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Standing:
    found, module = Standing(), types.ModuleType("wandb")
    run = types.SimpleNamespace(
        summary={},
        define_metric=lambda name, step_metric: found.note("by", name, step_metric),
        log=lambda metrics: found.note("log", metrics),
        finish=lambda exit_code: found.note("finish", exit_code),
    )
    module.Settings = dict  # type: ignore[attr-defined]
    module.init = lambda **given: (found.note("init", given), run)[1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return found


def test_what_wandb_is_asked(wandb: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = interrupted(tmp_path / "flowers.partial", "wandb")
    inits = [given for what, *rest in wandb.asked if what == "init" for given in rest]
    assert [(given["id"], given["project"], given["name"], given["resume"]) for given in inits] == [
        (run, "edgevit", "flowers", "allow")
    ] * 2
    assert inits[0]["config"]["lr"] == 1e-3 and inits[0]["settings"]["save_code"] is False
    logged = [rest[0] for what, *rest in wandb.asked if what == "log"]
    assert [row for row in logged if "epoch" in row] == ROWS and logged[0] == {"step/loss": 1.0, "step/number": 10}
    counted = {rest[0]: rest[1] for what, *rest in wandb.asked if what == "by"}
    assert counted == {"step/loss": "step/number", "loss": "epoch", "val_top1": "epoch"}
    assert wandb.asked[-1] == ("finish", 0)
    monkeypatch.setenv("WANDB_PROJECT", "plants")
    monkeypatch.setenv("WANDB_NAME", "mine")
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    assert interrupted(tmp_path / "other", "wandb") == "chosen"
    last = [given for what, *rest in wandb.asked if what == "init" for given in rest][-1]
    assert (last["project"], last["name"]) == ("plants", "mine")


class Client:
    """MLflow's, as far as it is called."""

    def __init__(self, found: Standing) -> None:
        self.found = found

    def __getattr__(self, name: str) -> Any:
        results = {
            "create_run": types.SimpleNamespace(info=types.SimpleNamespace(run_id="run-1")),
            "get_experiment_by_name": None,
            "create_experiment": "7",
        }
        return lambda *given, **named: (self.found.note(name, *given, named), results.get(name))[1]


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Standing:
    found, module, entities = Standing(), types.ModuleType("mlflow"), types.ModuleType("mlflow.entities")
    entities.Metric = lambda *given: given  # type: ignore[attr-defined]
    entities.Param = lambda *given: given  # type: ignore[attr-defined]
    module.MlflowClient = lambda: Client(found)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return found


def test_what_mlflow_is_asked(mlflow: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interrupted(tmp_path / "flowers", "mlflow") == "run-1"
    assert [asked for asked in mlflow.asked if asked[0] != "log_batch"] == [
        ("get_experiment_by_name", "edgevit", {}), ("create_experiment", "edgevit", {}),
        ("create_run", "7", {"run_name": "flowers"}), ("set_terminated", "run-1", "FINISHED", {}),
        ("update_run", "run-1", {"status": "RUNNING"}), ("set_terminated", "run-1", "FINISHED", {}),
    ]  # fmt: skip
    sent = [asked[-1] for asked in mlflow.asked if asked[0] == "log_batch"]
    assert ("lr", "0.001") in sent[0]["params"] and sum("params" in one for one in sent) == 1
    metrics = [(name, value, step) for one in sent for name, value, _, step in one.get("metrics", ())]
    assert [one for one in metrics if one[0] == "loss"] == [("loss", 1 / n, n) for n in (1, 2, 3, 4)]
    assert ("step/loss", 1.0, 10) in metrics and not any(name == "epoch" for name, _, _ in metrics)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "12")
    interrupted(tmp_path / "other", "mlflow")
    assert ("create_run", "12", {"run_name": "other"}) in mlflow.asked


def test_what_mlflow_did_not_take_of_its_beginning_is_sent_again(
    mlflow: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that was made is kept, and not made twice."""
    real, failed = Client.__getattr__, []

    def once(self: Client, name: str) -> Any:
        if name == "log_batch" and not failed:
            failed.append(name)
            raise ConnectionError("away")
        return real(self, name)

    monkeypatch.setattr(Client, "__getattr__", once)
    with watch.Watch(tmp_path / "run", 0, TrainConfig("digits", watch="mlflow")) as following:
        following.row(ROWS[0])
    asked = [what[0] for what in mlflow.asked]
    assert asked.count("create_run") == 1 and asked.count("log_batch") == 2 and following.kept.found.ids == {"mlflow": "run-1"}


def test_settings_are_plain(wandb: Standing, tmp_path: Path) -> None:
    """What a service gets of them is text, numbers and lists."""
    settings = TrainConfig("digits", image_size=(32, 24), tried={"0.001": 0.5}, watch="wandb", said=("data",))
    with watch.Watch(tmp_path / "run", 0, settings):
        pass
    config: Mapping[str, object] = wandb.asked[0][1]["config"]
    assert config["tried"] == {"0.001": 0.5} and list(config["image_size"]) == [32, 24]  # type: ignore[call-overload]
    assert {type(value) for value in config.values()} <= {str, int, float, bool, list, tuple, dict}

"""MLflow. The server is said by its own variable, MLFLOW_TRACKING_URI, and the experiment by MLFLOW_EXPERIMENT_NAME or _ID.

Settings and metrics are sent; no code, no images, no weights, no name of the machine or of its user.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgevit.training.watching.watcher import STEP, title

EXPERIMENT = "edgevit"
LONGEST = 500
"""Characters of a setting; older servers take no longer ones."""
STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def watcher(run: Path, known: str, keep: Callable[[str], None]) -> MLflow:
    return MLflow(title(run), known, keep)


class MLflow:
    """`known` is the id of the run that goes on; `keep` is told that of a new one."""

    def __init__(self, name: str, known: str, keep: Callable[[str], None]) -> None:
        import mlflow
        from mlflow.entities import Metric, Param

        self.mlflow, self.metric, self.param = mlflow, Metric, Param
        self.name, self.known, self.keep = name, known, keep
        self.goes_on = bool(known)
        self.client: Any = None

    def begin(self, settings: Mapping[str, object], resumed_from: int | None) -> None:
        self.client = self.client or self.mlflow.MlflowClient()
        if self.goes_on:
            self.client.update_run(self.known, status="RUNNING")
            return
        if not self.known:
            name = os.environ.get("MLFLOW_RUN_NAME") or self.name
            self.known = self.client.create_run(self._experiment(), run_name=name).info.run_id
            self.keep(self.known)
        params = [self.param(key, str(value)[:LONGEST]) for key, value in settings.items()]
        self.client.log_batch(self.known, params=params)

    def _experiment(self) -> str:
        if number := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return number
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self.client.create_experiment(name))

    def row(self, metrics: Mapping[str, float]) -> None:
        self._send({name: value for name, value in metrics.items() if name != "epoch"}, int(metrics["epoch"]))

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self._send({f"{STEP}{name}": value for name, value in metrics.items()}, step)

    def _send(self, metrics: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        self.client.log_batch(self.known, metrics=[self.metric(name, value, now, step) for name, value in metrics.items()])

    def end(self, ending: str) -> None:
        self.client.set_terminated(self.known, STATES[ending])

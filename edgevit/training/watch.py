"""The story of a run: one JSON line per epoch in `metrics.jsonl`, and the same for TensorBoard."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import TracebackType

LINES = "metrics.jsonl"


class Watch:
    """Rows after epoch `keep` belong to a future that was interrupted; they are dropped when the run goes on."""

    def __init__(self, run: Path, keep: int) -> None:
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]  # TensorBoard would load it, for 10 s and nothing
        from torch.utils.tensorboard import SummaryWriter

        run.mkdir(parents=True, exist_ok=True)
        self.path = run / LINES
        self.rows = [row for row in read(self.path) if row["epoch"] <= keep]
        self.board = SummaryWriter(str(run / "tensorboard"), purge_step=keep + 1)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.board.close()

    def catch_up(self, metrics: dict[str, float]) -> None:
        """Tell what was learned before the run was interrupted, and not yet told."""
        if metrics and (not self.rows or self.rows[-1]["epoch"] < metrics["epoch"]):
            self.row(metrics)

    def row(self, metrics: dict[str, float]) -> None:
        self.rows.append(metrics)
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        os.replace(partial, self.path)
        for name, value in metrics.items():
            if name != "epoch":
                self.board.add_scalar(name, value, int(metrics["epoch"]))
        self.board.flush()


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a `metrics.jsonl`; of a missing one, none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]

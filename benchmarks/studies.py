"""The paper's smaller studies redone on images that a laptop can learn: positions, resolution, self-supervision.

    python benchmarks/studies.py positions --data FASHION_MNIST --jobs 2

Each study trains the same model several ways, with several seeds. It prints what it compares, a Markdown table of the top-1 by
seed, the machine, the number of runs at a time and the seconds it all took; on stderr, each run's top-1 and seconds as it ends.
The top-1 is that after the last epoch on the source's held-out images: no epoch was chosen by it. With `--jobs 2` two runs
share the machine; say OMP_NUM_THREADS=1 then. Started again, it reads the runs that are finished and goes on with the others;
a run that was trained by other settings is refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgevit import checkpoint as checkpoints
from edgevit import pipeline
from edgevit.data import lasting
from edgevit.errors import BadInput, EdgevitError
from edgevit.types import Checkpoint, TrainConfig, silent
from edgevit.versions import machine

SAME = {"precision": "float32"}
"""On every machine, whatever its default."""

Study = Callable[["Runs", int], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Runs:
    """Trains into folders below `out`; a run that is finished is read, so that a study can go on where it stopped."""

    data: str
    out: Path

    def train(self, name: str, **settings: object) -> Path:
        """The folder of the finished run. Raises BadInput where one of other settings is there."""
        folder = self.out / name
        wanted = TrainConfig(data=self.data, **settings)  # type: ignore[arg-type]
        begun = (folder / "last" / checkpoints.RECORD).is_file()
        if begun:
            refuse_other(folder, wanted)
        if not begun or unfinished(folder):
            started = time.monotonic()
            pipeline.resume({}, folder, silent) if begun else pipeline.train(wanted, folder, False, silent)
            print(f"{name}: {100 * top1(folder):.2f} % in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return folder


def unfinished(run: Path) -> bool:
    made = last(run)
    return made.train is None or made.metrics["epoch"] != made.train.epochs or pipeline.can_go_on(run)


def refuse_other(run: Path, wanted: TrainConfig) -> None:
    """Raise BadInput where `run` was trained by other settings than `wanted`. What is None there, its preset has derived."""
    made = last(run).train
    said = {name: value for name, value in vars(wanted).items() if value is not None and (name, value) != ("preset", "auto")}
    other = [name for name, value in said.items() if getattr(made, name, None) not in (value, _lasting(value))]
    if other:
        differ = ", ".join(f"{name} {getattr(made, name, None)}, not {said[name]}" for name in other)
        raise BadInput(f"{run} has {differ}", "remove it, or choose another --out")


def _lasting(value: object) -> object:
    """As a run records its data and its start."""
    return lasting(value) if isinstance(value, str) else value


def top1(run: Path) -> float:
    """On the held-out images after the last epoch, a fraction of 1; a pre-trained encoder has none."""
    return last(run).metrics.get("val_top1", float("nan"))


def last(run: Path) -> Checkpoint:
    return checkpoints.read(run / "last")


def positions(runs: Runs, seed: int) -> dict[str, float]:
    """Appendix D.4, table 8: no positions, learned 1-D, learned halves for row and column, relative."""
    kinds = ("none", "1d", "2d", "relative")
    common = {"model": "Nano/7", "image_size": (28, 28), "fraction": 0.25, "epochs": 10, "seed": seed, **SAME}
    return {kind: top1(runs.train(f"positions-{kind}-{seed}", positions=kind, **common)) for kind in kinds}


def resolution(runs: Runs, seed: int) -> dict[str, float]:
    """Section 3.2: trained at 20 px, then fine-tuned by as many steps at 20 px and at 30 px, all layers at one rate."""
    common = {"fraction": 0.5, "seed": seed, **SAME}
    small = runs.train(f"resolution-start-{seed}", model="Nano/5", image_size=(20, 20), epochs=20, **common)
    tuning = {"start": str(small), "epochs": 10, "layer_decay": 1.0, "lr": 1e-3, **common}
    tuned = {f"{side} px": top1(runs.train(f"resolution-{side}-{seed}", image_size=(side, side), **tuning)) for side in (20, 30)}
    return {**tuned, "before, 20 px": top1(small)}


def pretraining(runs: Runs, seed: int) -> dict[str, float]:
    """Section 4.6: a tenth of the labels, from nothing and from an encoder that predicted the colours of masked patches."""
    shape = {"model": "Nano/7", "image_size": (28, 28), "seed": seed, **SAME}
    encoder = runs.train(f"pretraining-encoder-{seed}", objective="masked patches", epochs=10, **shape)
    common = {"fraction": 0.1, "epochs": 40, "layer_decay": 1.0, "lr": 2e-3, "batch": 128, "seed": seed, **SAME}
    scratch = runs.train(f"pretraining-scratch-{seed}", **{**shape, **common})
    tuned = runs.train(f"pretraining-tuned-{seed}", start=str(encoder), **common)
    return {"from scratch": top1(scratch), "after masked patch prediction": top1(tuned)}


STUDIES: dict[str, Study] = {"positions": positions, "resolution": resolution, "pretraining": pretraining}


def table(found: dict[int, dict[str, float]]) -> str:
    """Top-1 in percent, seed by seed, and the difference from the first row of the same seed; each as mean ± s.d."""
    names = list(next(iter(found.values())))
    seeds = " | ".join(f"seed {seed}" for seed in found)
    lines = [f"| | {seeds} | mean ± s.d. | difference by seed |", "|---" * (len(found) + 3) + "|"]
    for name in names:
        values, first = ([100 * row[n] for row in found.values()] for n in (name, names[0]))
        cells = " | ".join(f"{value:.2f}" for value in values)
        gains = [value - start for value, start in zip(values, first, strict=True)]
        lines.append(f"| {name} | {cells} | {_spread(values)} | {_spread(gains, '+') if name != names[0] else ''} |")
    return "\n".join(lines)


def _spread(values: list[float], sign: str = "") -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ", one seed"
    return f"{statistics.mean(values):{sign}.2f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--data", required=True, help="Fashion-MNIST's folder, or another source that holds images out")
    parser.add_argument("--out", type=Path, default=Path("runs/studies"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    study, runs, started = STUDIES[asked.study], Runs(asked.data, asked.out), time.monotonic()
    try:
        with ThreadPoolExecutor(asked.jobs) as pool:
            found = dict(zip(range(asked.seeds), pool.map(lambda seed: study(runs, seed), range(asked.seeds)), strict=True))
    except EdgevitError as error:
        print(f"error: {error.message}\n\nhint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{(study.__doc__ or '').strip()}\n\n{table(found)}\n")
    print(f"{machine()}; {asked.jobs} at a time; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()

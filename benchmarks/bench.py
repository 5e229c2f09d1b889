"""What `edgevit bench` is worth: whether it says the same twice, and what measuring costs.

    python benchmarks/bench.py ARTIFACT ARTIFACT [--times 10] [--threads 2]

Verdicts: the two artifacts are ranked that many times anew, each time as a user would. They have to be the same each time, or
"cannot tell"; two that are opposite make the exit code 1. Overhead: in one process, blocks of calls timed one by one, as the
worker does it, in turn with blocks of the same calls in a bare loop that looks at the clock twice; the ratio of the median
blocks.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from edgevit import artifact as artifacts
from edgevit import pipeline, ranking
from edgevit.types import Bench, BenchRules, silent
from edgevit.versions import machine
from targets.devices import Access, worker

RUNTIMES = {".tflite": worker.Litert, ".pte": worker.Executorch}
BLOCKS, CALLS = 30, 20


def verdict(found: Bench) -> str:
    first, second = (x for x in found.latencies if x.p50_ms is not None)
    lower = ranking.lower(first, second)
    order = {True: "first", False: "second", None: "cannot tell"}[lower]
    spans = ", ".join(f"{x.p50_ms:.2f} ({x.low_ms:.2f}-{x.high_ms:.2f})" for x in (first, second))
    print(f"{order:12} {spans}  {len(first.launches)} and {len(second.launches)} launches", flush=True)
    return order


def overhead(folder: Path, threads: int) -> float:
    """The median block of the worker's own timing as a ratio to that of a bare loop."""
    artifact = artifacts.read(folder)
    assert artifact.preprocess
    order = {
        "threads": threads,
        "size": artifact.preprocess.crop,
        "mean": artifact.preprocess.mean,
        "std": artifact.preprocess.std,
    }
    file = artifacts.model_file(artifact)
    runtime = RUNTIMES[file.suffix](order)
    runtime.load(str(file))
    image = worker.some_image(runtime, order)
    worker.timed(runtime, image, CALLS)
    timed, bare = [], []
    for block in range(BLOCKS):
        for measured in (timed, bare) if block % 2 else (bare, timed):
            if measured is timed:
                measured.append(sum(worker.timed(runtime, image, CALLS)))
                continue
            started = time.perf_counter()
            for _ in range(CALLS):
                runtime(image)
            measured.append(1000 * (time.perf_counter() - started))
    return statistics.median(timed) / statistics.median(bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs=2, type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"{machine()}; {options.threads} threads")
    for folder in options.artifacts:
        print(
            f"overhead of timing each call of {folder.name}: {100 * (overhead(folder, options.threads) - 1):+.2f} %", flush=True
        )
    rules = BenchRules(threads=options.threads, images=0)
    found = Counter(
        verdict(pipeline.bench(options.artifacts, "local", rules, None, silent, Access(wait=600.0))) for _ in range(options.times)
    )
    print(", ".join(f"{name}: {times} of {options.times}" for name, times in found.items()))
    sys.exit(1 if found["first"] and found["second"] else 0)


if __name__ == "__main__":
    main()

"""What each rewrite gives: a random model converted with all of a target's rewrites, and again with each left out.

    python benchmarks/rewrites.py --target executorch --recipe fp32 --model Ti/16

prints, for each, the median latency as a ratio to that of all, and what the back end then takes. One left out may take others
with it that build on it; a model that can no longer be converted is said to fail. Interleaved in one process; run nothing else
meanwhile.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgevit.bench.latency import interleaved, percentile
from edgevit.types import silent
from edgevit.versions import machine
from edgevit.vit.config import config


def convert(args: argparse.Namespace, without: str, into: Path) -> None:
    """The model without the rewrite of that name, to `into`/model.*, and a line of the delegate's share; runs in a child."""
    import torch

    import converters
    import quantize
    import targets
    from converters.order import Order
    from edgevit.types import Preprocess
    from edgevit.vit.model import ViT
    from quantize.apply import apply

    target, size = targets.get(args.target), (args.image_size, args.image_size)
    module = importlib.import_module(f"converters.{target.converter}")
    module.REWRITES = tuple(rewrite for rewrite in module.REWRITES if rewrite.name != without)
    torch.manual_seed(0)
    vit = ViT(config(args.model, size, 1000)).eval().requires_grad_(False)
    vit.head.weight.normal_(std=0.02)  # type: ignore[operator,union-attr]
    apply(vit, quantize.get(args.recipe), "dynamic" in target.activations)
    order = Order(vit, quantize.get(args.recipe), torch.randn(1, 3, *size), Preprocess(size, size))
    made = converters.convert(target.converter, order, into, silent)
    found = made.delegation
    print(f"SHARE {found.subgraphs} subgraphs, {found.inside} inside, {found.outside} outside")


def names(converter: str) -> list[str]:
    return [rewrite.name for rewrite in importlib.import_module(f"converters.{converter}").REWRITES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=("executorch", "tflite"), default="executorch")
    parser.add_argument("--recipe", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--model", default="Ti/16")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/rewrites"))
    parser.add_argument("--without", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.without is not None:
        return convert(args, args.without, args.out)

    import targets

    target = targets.get(args.target)
    runners, shares = {}, {}
    for name in ("", *names(target.converter)):
        folder = args.out / f"{args.target}-{args.recipe}-{name.replace(' ', '-') or 'all'}"
        folder.mkdir(parents=True, exist_ok=True)
        again = [sys.executable, *sys.argv, "--without", name, "--out", str(folder)]
        done = subprocess.run(again, capture_output=True, text=True, check=False)
        share = [line.removeprefix("SHARE ") for line in done.stdout.splitlines() if line.startswith("SHARE ")]
        shares[name] = share[0] if share else f"fails: {done.stderr.strip().splitlines()[-1][:80]}"
        print(f"{name or 'all'}: {shares[name]}", file=sys.stderr, flush=True)
        if share:
            runners[name] = targets.load(args.target, next(folder.glob(f"model{target.suffix}")), args.threads)
    image = np.random.default_rng(0).standard_normal((1, 3, args.image_size, args.image_size)).astype(np.float32)
    calls = {name: (lambda runner=runner: runner(image)) for name, runner in runners.items()}
    times, broken = interleaved(calls, args.runs, 10, silent, primed=0.0)
    whole = statistics.median(times[""])
    what = f"{args.model} at {args.image_size} px, {args.target}-{args.recipe}, {args.threads} threads, median of {args.runs}"
    print(f"{what}; {machine()}")
    print()
    print("| left out | ratio to all | median ms | p10 | p90 | delegate |")
    print("|---|---|---|---|---|---|")
    for name, share in shares.items():
        if name not in times or name in broken:
            print(f"| {name} | | | | | {broken.get(name, share)} |")
            continue
        shown = " | ".join(f"{percentile(times[name], fraction):.2f}" for fraction in (0.5, 0.1, 0.9))
        print(f"| {name or 'nothing'} | {statistics.median(times[name]) / whole:.3f} | {shown} | {share} |")


if __name__ == "__main__":
    main()

"""Latency of edgevit's exports beside stock exports of the same model, interleaved in one process, as ratios of medians.

    python benchmarks/convert.py --stock STOCK_PY --peers PEERS/bin/python --model Ti/16

STOCK_PY makes the stock exports (OUT/{executorch,tflite}-{fp32,int8}.*); PEERS/bin/python runs `peers.py`, whose head says how to
make that environment; without it those two peers are left out, and the table says so. All weights are random: no timing depends
on them. What is made already in --out is not made again. Run nothing else meanwhile. Each timed call
follows untimed ones of the same file, since the threads of another runtime spin on for a while.

It prints Markdown: what each conversion cost, latencies, the ratios with the bars that were set for them, and the floor: what the
products alone would take at this machine's measured rates. `--json` writes all of it to a file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgevit.bench.latency import interleaved, percentile
from edgevit.types import Size, silent
from edgevit.versions import machine
from edgevit.vit.config import config

PRIMED = 0.25
"""Seconds of untimed calls before each timed one: threads of OpenVINO and ONNX Runtime spin for up to 200 ms after a call, and
took half of the next file's time. A rest instead lets the cores fall asleep, and doubles all times on a virtual machine."""

BARS = (
    ("executorch-fp32", "stock executorch-fp32", 0.52),
    ("executorch-int8", "stock executorch-int8", 0.36),
    ("executorch-int8", "stock tflite-int8", 1.0),
    ("tflite-fp32", "stock tflite-fp32", 0.97),
    ("tflite-int8", "stock tflite-int8", 0.97),
    ("best int8", "onnx-int8", 0.30),
    ("best int8", "openvino-int8", None),
    ("best int8", "floor", 1.5),
)
"""Ours, beside what, and the most that the ratio may be; None where it is only stated."""
OURS = ("executorch-fp32", "executorch-int8", "tflite-fp32", "tflite-int8")


def make_ours(model: str, size: Size, name: str, out: Path) -> None:
    """Convert a random model to `out`/NAME.*; runs in a child of its own."""
    import torch

    import converters
    import quantize
    import targets
    from converters.order import Order
    from edgevit.types import Preprocess
    from edgevit.vit.model import ViT
    from quantize.apply import apply

    target, recipe = name.split("-")
    torch.manual_seed(0)
    vit = ViT(config(model, size, 1000)).eval().requires_grad_(False)
    vit.head.weight.normal_(std=0.02)  # type: ignore[operator,union-attr]
    apply(vit, quantize.get(recipe), "dynamic" in targets.get(target).activations)
    order = Order(vit, quantize.get(recipe), torch.randn(1, 3, *size), Preprocess(size, size))
    made = converters.convert(targets.get(target).converter, order, out, silent)
    (out / made.file).rename(out / f"{name}{Path(made.file).suffix}")
    print(f"{made.delegation.subgraphs} subgraph, {made.delegation.inside} nodes inside, {made.delegation.outside} outside")


def made(command: list[str], what: list[Path], log: Path) -> dict[str, float] | None:
    """Run `command` where it must still make a file of `what`. Seconds and peak bytes; None where nothing was to do."""
    if all(path.exists() for path in what):
        return None
    print(f"making {', '.join(path.name for path in what)}", file=sys.stderr, flush=True)
    started = time.monotonic()
    with log.open("wb") as sink:
        child = subprocess.Popen(command, stdout=sink, stderr=sink)
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}\n{log.read_text(errors='replace')[-2000:]}")
    return {"seconds": time.monotonic() - started, "peak_bytes": usage.ru_maxrss * 1024}


def make_all(args: argparse.Namespace, size: Size) -> dict[str, dict[str, float] | None]:
    shape, out = config(args.model, size, 1000), args.out
    stock = {"width": shape.width, "depth": shape.depth, "heads": shape.heads, "image-size": size[0], "patch": shape.patch}
    options = [word for name, value in stock.items() for word in (f"--{name}", str(value))]
    costs = {}
    for name in OURS:
        again = [sys.executable, __file__, "--model", args.model, "--image-size", str(size[0]), "--out", str(out), "--make", name]
        costs[name] = made(again, [out / f"{name}.{'pte' if name.startswith('exec') else 'tflite'}"], out / f"{name}.log")
    for back_end, suffix in (("executorch", "pte"), ("tflite", "tflite")):
        files = [out / "stock" / f"{back_end}-{recipe}.{suffix}" for recipe in ("fp32", "int8")]
        command = [sys.executable, str(args.stock), str(out / "stock"), *options, "--only", back_end]
        costs[f"stock {back_end}, both"] = made(command, files, out / f"stock-{back_end}.log")
    if args.peers:
        files = [out / "peers" / name for name in ("onnx-int8.onnx", "openvino-int8.xml")]
        peers = [args.peers, str(Path(__file__).with_name("peers.py")), str(args.stock), str(out / "peers"), *options]
        costs["peers"] = made(peers, files, out / "peers.log")
    return costs


def ready(args: argparse.Namespace, image: np.ndarray) -> dict[str, Callable[[], object]]:
    """A call of each file that is there, by name, on `image` (1, 3, H, W)."""
    import targets

    calls: dict[str, Callable[[], object]] = {}
    for prefix, folder in (("", args.out), ("stock ", args.out / "stock")):
        for name in OURS:
            target = name.split("-")[0]
            runner = targets.load(target, folder / f"{name}{targets.get(target).suffix}", args.threads)
            calls[prefix + name] = lambda runner=runner: runner(image)
    if args.peers:
        found = [args.peers, "-c", "import site; print(site.getsitepackages()[0])"]
        sys.path.append(subprocess.run(found, check=True, capture_output=True, text=True).stdout.strip())
        calls |= {"onnx-int8": onnx(args, image), "openvino-int8": openvino(args, image)}
    return calls


def onnx(args: argparse.Namespace, image: np.ndarray) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    file = str(args.out / "peers" / "onnx-int8.onnx")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: image})


def openvino(args: argparse.Namespace, image: np.ndarray) -> Callable[[], object]:
    import openvino as runtime

    how = {"INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY"}
    request = runtime.Core().compile_model(str(args.out / "peers" / "openvino-int8.xml"), "CPU", how).create_infer_request()
    return lambda: request.infer({0: image})


def floor(model: str, size: Size, threads: int) -> dict[str, float]:
    """Milliseconds that the products alone take: Linears at the int8 rate of this machine, the others at its fp32 rate.

    Rates are those of 1024 x 1024 x 1024, in operations per second. In the last block only the class token asks.
    """
    import torch

    torch.set_num_threads(threads)
    side = 1024
    a, b = torch.randn(side, side), torch.randn(side, side)
    ai, bi = (torch.randint(-9, 9, (side, side), dtype=torch.int8) for _ in range(2))
    times, _ = interleaved({"fp32": lambda: a @ b, "int8": lambda: torch._int_mm(ai, bi.t())}, 30, 5, silent)
    rate = {name: 2 * side**3 / (statistics.median(values) / 1000) for name, values in times.items()}
    c = config(model, size, 1000)
    d, t, m, whole = c.width, c.tokens, c.mlp, c.depth - 1
    linears = whole * t * (4 * d * d + 2 * d * m) + t * 2 * d * d + 2 * d * d + 2 * d * m + d * 1000
    others = whole * 2 * t * t * d + 2 * t * d + c.patches * 3 * c.patch**2 * d
    milliseconds = 1000 * (2 * linears / rate["int8"] + 2 * others / rate["fp32"])
    return {"int8": rate["int8"], "fp32": rate["fp32"], "milliseconds": milliseconds}


def ratios(medians: dict[str, float]) -> list[tuple[str, str, float | None, float | None]]:
    """Ours, beside what, the ratio of their medians (None: not measured) and its bar."""
    best = min(medians[name] for name in OURS if name.endswith("int8"))
    known = {**medians, "best int8": best}
    return [(ours, other, known[ours] / known[other] if other in known else None, bar) for ours, other, bar in BARS]


def told(args: argparse.Namespace, found: dict) -> str:
    where = f"{found['machine']}; load before: {found['load']:.2f}"
    lines = [f"{args.model} at {args.image_size} px, batch 1, {args.threads} threads; {where}", ""]
    lines += ["| conversion | seconds | peak GB |", "|---|---|---|"]
    lines += [f"| {n} | {c['seconds']:.1f} | {c['peak_bytes'] / 1e9:.2f} |" for n, c in found["costs"].items() if c]
    lines += ["", f"| file | median ms of {args.runs} | p10 | p90 |", "|---|---|---|---|"]
    for name, values in found["times"].items():
        shown = " | ".join(f"{percentile(values, fraction):.2f}" for fraction in (0.5, 0.1, 0.9))
        lines.append(f"| {name} | {shown} |")
    low = found["floor"]
    rates = f"int8 at {low['int8'] / 1e9:.0f} G/s, fp32 at {low['fp32'] / 1e9:.0f} G/s"
    lines += [f"| floor ({rates}) | {low['milliseconds']:.2f} | | |", ""]
    lines += ["| ratio of medians | | bar |", "|---|---|---|"]
    for ours, other, ratio, bar in found["ratios"]:
        verdict = "" if bar is None or ratio is None else "reached" if ratio <= bar else "NOT reached"
        shown = "not measured" if ratio is None else f"{ratio:.3f}"
        lines.append(f"| {ours} / {other} | {shown} | {'none' if bar is None else bar} {verdict} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stock", type=Path, help="the file that makes the stock exports")
    parser.add_argument("--peers", help="the Python of the environment of ONNX Runtime and OpenVINO")
    parser.add_argument("--model", default="Ti/16")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/convert"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--make", choices=OURS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = (args.image_size, args.image_size)
    if args.make:
        return make_ours(args.model, size, args.make, args.out)
    if not args.stock:
        parser.error("--stock is needed: the file that makes the stock exports")
    args.out = (args.out / f"{args.model.replace('/', '-')}-{args.image_size}").resolve()
    (args.out / "stock").mkdir(parents=True, exist_ok=True)
    costs, load = make_all(args, size), os.getloadavg()[0]
    image = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
    low = floor(args.model, size, args.threads)
    times, broken = interleaved(ready(args, image), args.runs, 5, silent, primed=PRIMED)
    if broken:
        sys.exit("\n".join(f"{name} failed: {error}" for name, error in broken.items()))
    medians = {name: statistics.median(values) for name, values in times.items()} | {"floor": low["milliseconds"]}
    found = {"machine": machine(), "load": load, "costs": costs, "times": times, "floor": low, "ratios": ratios(medians)}
    print(told(args, found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Time and memory of an export beside the stock conversions of the same model, done one after another, in turn.

    python benchmarks/cost.py CHECKPOINT DATA --stock STOCK_PY [--rounds 2] [--json FILE]

`edgevit export CHECKPOINT --no-cache --data DATA`, with its proofs, checks and runtimes; then STOCK_PY, which makes the
files of ExecuTorch and TFLite; then, of the model that STOCK_PY builds, packages by coremltools and programs by ExecuTorch
with the Core ML delegate, each in floats and with weights of int8. The targets are those that such files stand beside, two
recipes each; `--target all` has two artifacts more, without a stock conversion of their own. Stock weights are random: no
time depends on them. Run nothing else meanwhile.

It prints Markdown. Memory is the sum over all processes of what each holds for itself and its share of what several hold (PSS),
asked four times a second; that holds the processes up, so it is a round of its own, and none with `--no-memory`.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgevit import checkpoint as checkpoints
from edgevit.versions import machine

TARGETS = ("executorch", "tflite", "coreml", "coreml-ios18", "executorch-coreml")
EVERY = 0.25
PRINTED = re.compile(r"bytes, ([\d.]+) s$", re.MULTILINE)
"""What a stock conversion says that it took, without the imports before it."""


def stock(args: argparse.Namespace) -> None:
    """Core ML's packages and ExecuTorch's programs for its delegate, to `args.make`; runs in a child of its own."""
    import coremltools  # noqa: F401  # imports are no part of what is timed
    import torch
    from executorch.backends.apple.coreml import partition  # noqa: F401

    spec = importlib.util.spec_from_file_location("stock", args.stock)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, image = module.build(argparse.Namespace(**shape(args.checkpoint))), torch.randn(1, 3, *size(args.checkpoint))
    for system in ("iOS17", "iOS18"):
        package = told(f"coreml-{system}-fp32", lambda system=system: _package(model, image, system, args.make))
        told(f"coreml-{system}-int8", lambda package=package, system=system: _in_int8(package, system, args.make))
    told("executorch-coreml-fp32", lambda: _program(model, image, args.make / "fp32.pte"))
    told("executorch-coreml-int8", lambda: _program(_quantized(model), image, args.make / "int8.pte"))


def told(name: str, make: Any) -> Any:
    started = time.monotonic()
    made, file = make()
    held = sum(path.stat().st_size for path in (file, *file.rglob("*")) if path.is_file())
    print(f"{name}: {held} bytes, {time.monotonic() - started:.1f} s", flush=True)
    return made


def _package(model: Any, image: Any, system: str, out: Path) -> tuple[Any, Path]:
    import coremltools as ct
    import torch

    exported = torch.export.export(model, (image,), strict=False).run_decompositions({})
    made = ct.convert(
        exported,
        minimum_deployment_target=ct.target[system],
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    file = out / f"{system}-fp32.mlpackage"
    made.save(str(file))
    return made, file


def _in_int8(package: Any, system: str, out: Path) -> tuple[Any, Path]:
    import coremltools.optimize.coreml as cto

    kind = cto.OpLinearQuantizerConfig(mode="linear_symmetric")
    made = cto.linear_quantize_weights(package, cto.OptimizationConfig(global_config=kind))
    file = out / f"{system}-int8.mlpackage"
    made.save(str(file))
    return made, file


def _quantized(model: Any) -> Any:
    import torch
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis

    model = copy.deepcopy(model)
    quantize_(model, IntxWeightOnlyConfig(torch.int8, PerAxis(0)))
    return model


def _program(model: Any, image: Any, file: Path) -> tuple[None, Path]:
    import coremltools as ct
    import torch
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    program = torch.export.export(model, (image,), strict=False)
    lowered = to_edge_transform_and_lower(program, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    file.write_bytes(lowered.to_executorch().buffer)
    return None, file


def shape(checkpoint: Path) -> dict[str, int]:
    """What STOCK_PY calls the shape of a model."""
    config = checkpoints.read(checkpoint).config
    names = {"width": config.width, "depth": config.depth, "heads": config.heads, "patch": config.patch}
    return names | {"image_size": config.image_size[0], "classes": config.classes}


def size(checkpoint: Path) -> tuple[int, int]:
    return checkpoints.read(checkpoint).config.image_size


def ran(command: list[str], log: Path, watched: bool) -> dict[str, float]:
    """Seconds of the whole command and those that it says of its conversions; or the most bytes that all its processes held."""
    started, most = time.monotonic(), 0
    with log.open("wb") as sink:
        child = subprocess.Popen(command, stdout=sink, stderr=sink)
        while watched and child.poll() is None:
            most = max(most, sum(map(_share, _tree(child.pid))))
            time.sleep(EVERY)
        child.wait()
    if child.returncode:
        sys.exit(f"failed: {' '.join(command)}\n{log.read_text(errors='replace')[-2000:]}")
    if watched:
        return {"bytes": most}
    said = sum(float(seconds) for seconds in PRINTED.findall(log.read_text(errors="replace")))
    return {"seconds": time.monotonic() - started, "conversions": said}


def _tree(process: int) -> set[int]:
    try:
        tasks = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return {process}
    return {process}.union(*(_tree(int(each)) for text in tasks for each in text.split()))


def _share(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def rounds(args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Each command once in each round."""
    found: dict[str, list[dict[str, float]]] = {"edgevit export": [], "stock script": [], "stock, Core ML": []}
    targets = [word for name in args.target for word in ("--target", name)]
    options = [word for name, value in shape(args.checkpoint).items() for word in (f"--{name.replace('_', '-')}", str(value))]
    with tempfile.TemporaryDirectory(prefix="edgevit-cost-") as scratch:
        out = Path(scratch)
        (out / "coreml").mkdir()
        export = ["-m", "edgevit", "export", str(args.checkpoint), *targets, "--no-cache", "--data", args.data, "--split", "all"]
        again = [__file__, str(args.checkpoint), args.data, "--stock", str(args.stock), "--make", str(out / "coreml")]
        commands = {
            "edgevit export": [*export, "--out", str(out / "ours"), "--force"],
            "stock script": [str(args.stock), str(out / "stock"), *options],
            "stock, Core ML": again,
        }
        for watched in [False] * args.rounds + [True] * args.memory:
            for name, command in commands.items():
                print(f"{'memory' if watched else 'time'}: {name}", file=sys.stderr, flush=True)
                found[name].append(ran([sys.executable, *command], out / "log", watched))
    return found


def table(found: dict[str, list[dict[str, float]]]) -> str:
    lines = ["| | seconds, each round | its conversions alone | most memory |", "|---|---|---|---|"]
    timed = {name: [one for one in each if "seconds" in one] for name, each in found.items()}
    for name, each in timed.items():
        whole, alone = ([f"{one[key]:.1f}" for one in each] for key in ("seconds", "conversions"))
        spent = ", ".join(alone) if any(one["conversions"] for one in each) else "not told apart"
        held = [f"{one['bytes'] / 1e9:.2f} GB" for one in found[name] if "bytes" in one]
        lines.append(f"| {name} | {', '.join(whole)} | {spent} | {', '.join(held) or 'not asked'} |")
    ours = statistics.median(one["seconds"] for one in timed["edgevit export"])
    pairs = list(zip(timed["stock script"], timed["stock, Core ML"], strict=True))
    for key, words in (("conversions", "the stock conversions alone"), ("seconds", "the stock scripts")):
        theirs = statistics.median(one[key] + other[key] for one, other in pairs)
        lines.append(f"\nThe export takes {ours / theirs:.2f} times as long as {words}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", help="the images that are answered, as `edgevit export` takes them")
    parser.add_argument("--stock", type=Path, required=True, help="the file that makes the stock exports")
    parser.add_argument("--target", action="append", help="targets of the export instead of those with a stock conversion")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.target = args.target or TARGETS
    if args.make:
        return stock(args)
    found = rounds(args)
    print(machine(), table(found), sep="\n\n")
    if args.json:
        args.json.write_text(json.dumps({"machine": str(machine()), "rounds": found}, indent=1))


if __name__ == "__main__":
    main()

"""How fast edgevit trains, beside the same model in a plain PyTorch loop, transformers' ViT in its usual one, and timm's.

    python benchmarks/train.py --model Ti/16 --batch 32 [--device cpu] [--precision float32] [--steps 10] [--json FILE]

All in one process, in turn, on the same synthetic images: block after block of steps, each loop once in each round, in an order
that is drawn anew. What is printed is images in a second, as the median of the rounds with the lowest and highest; edgevit's
beside each other loop's as the median of the ratios within a round, with its 95 % interval, since a machine drifts by more; the
share of the matrix-multiply rate that was measured on the device; and the most memory that each loop holds, alone in a process.
The precision is what edgevit would choose, unless it is given. timm is left out where it is not installed, and the table says so.
Run nothing else meanwhile.

`--images FOLDER` measures the whole way in place of synthetic images, for edgevit alone: files, decoding, augmentation, steps.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch.nn import functional as F

from edgevit.child import peak_bytes
from edgevit.data.drawing import draws
from edgevit.ranking import interval
from edgevit.training import optimiser, speed, watch
from edgevit.training.engine import Engine
from edgevit.training.fit import fit
from edgevit.training.precision import choose as choose_precision
from edgevit.training.run_folder import Learner, parameters
from edgevit.training.supervised import Supervised
from edgevit.training.workers import Workers, choose_device
from edgevit.types import TrainConfig
from edgevit.versions import machine
from edgevit.vit.config import config
from edgevit.vit.model import ViT

CLASSES = 1000
Step = Callable[[torch.Tensor, torch.Tensor], object]


def edgevit(options: argparse.Namespace) -> Step:
    train = TrainConfig(
        "synthetic", model=options.model, batch=options.batch, lr=1e-3, warmup=0.1, weight_decay=0.05, layer_decay=1.0,
        optimiser="adamw", precision=options.precision, compile=options.compile, recompute=options.recompute,
    )  # fmt: skip
    crew = Workers(0, 1, options.device)
    model = ViT(config(options.model, (options.size, options.size), CLASSES)).to(options.device).train()
    for block in model.layers():
        block.recompute = options.recompute
    objective = Supervised(model, train, CLASSES, None)
    built = optimiser.build(parameters(model, None), train, len(model.blocks))
    engine = Engine(train, Learner(model, None, built, None, crew), objective, crew)
    drawn = draws(0, 1, 0, options.batch, 0, options.batch)

    def step(images: torch.Tensor, classes: torch.Tensor) -> object:
        with engine.autocast():
            prepared = objective.prepared(images, classes, drawn)
        loss = engine.learn(prepared, 1.0, False)
        engine.step(1, 100)
        return loss

    return step


def _loop(model: torch.nn.Module, options: argparse.Namespace, logits: Callable[[Any], torch.Tensor]) -> Step:
    """The loop of the tutorials: AdamW, autocast where the precision is bfloat16, the norm clipped, the loss looked at."""
    model = model.to(options.device).train()
    made = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step(images: torch.Tensor, classes: torch.Tensor) -> object:
        made.zero_grad()
        with torch.autocast(options.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
            loss = F.cross_entropy(logits(model(images)).float(), classes)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        made.step()
        return loss.item()

    return step


def plain(options: argparse.Namespace) -> Step:
    return _loop(ViT(config(options.model, (options.size, options.size), CLASSES)), options, lambda out: out)


def transformers(options: argparse.Namespace) -> Step:
    from transformers import ViTConfig, ViTForImageClassification

    shape = config(options.model, (options.size, options.size), CLASSES)
    theirs = ViTConfig(
        hidden_size=shape.width, num_hidden_layers=shape.depth, num_attention_heads=shape.heads, intermediate_size=shape.mlp,
        image_size=options.size, patch_size=shape.patch, num_labels=CLASSES,
    )  # fmt: skip
    return _loop(ViTForImageClassification(theirs), options, lambda out: out.logits)


def timm(options: argparse.Namespace) -> Step:
    from timm.models.vision_transformer import VisionTransformer

    shape = config(options.model, (options.size, options.size), CLASSES)
    theirs = VisionTransformer(
        img_size=options.size, patch_size=shape.patch, embed_dim=shape.width, depth=shape.depth, num_heads=shape.heads,
        num_classes=CLASSES,
    )  # fmt: skip
    return _loop(theirs, options, lambda out: out)


LOOPS: dict[str, Callable[[argparse.Namespace], Step]] = {
    "edgevit": edgevit, "plain PyTorch": plain, "transformers": transformers, "timm": timm,
}  # fmt: skip


def images_of(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
    return images, torch.randint(CLASSES, (options.batch,), device=options.device)


def block(step: Step, options: argparse.Namespace, steps: int) -> float:
    """Images in a second."""
    images, classes = images_of(options)
    speed.wait(options.device)
    started = time.perf_counter()
    for _ in range(steps):
        step(images, classes)
    speed.wait(options.device)
    return steps * options.batch / (time.perf_counter() - started)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    loops, absent = {}, []
    for name, make in LOOPS.items():
        try:
            loops[name] = make(options)
        except ImportError:
            absent.append(name)
    for step in loops.values():
        block(step, options, 2)  # compiling, and the first steps, which allocate
    found: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(options.rounds):
        for name in random.Random(number).sample(list(loops), len(loops)):
            found[name].append(block(loops[name], options, options.steps))
    rate = speed.matrix_rate(options.device, getattr(torch, options.precision))
    flops = speed.flops(config(options.model, (options.size, options.size), CLASSES))
    return {"images_per_second": found, "absent": absent, "matrix_rate": rate, "flops": flops, "memory": memory(options, loops)}


def memory(options: argparse.Namespace, loops: dict[str, Step]) -> dict[str, float]:
    """Peak GB of each loop in a process of its own: of the GPU where there is one, else of the process."""
    found = {}
    for name in loops:
        command = [
            sys.executable, __file__, "--alone", name, "--model", options.model, "--batch", str(options.batch), "--size",
            str(options.size), "--device", str(options.device), "--precision", options.precision,
            *(["--recompute"] if options.recompute else []), *(["--no-compile"] if options.compile is False else []),
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = float(ran.stdout.splitlines()[-1])
    return found


def alone(options: argparse.Namespace) -> None:
    block(LOOPS[options.alone](options), options, 3)
    print((speed.peak_bytes(options.device) or peak_bytes()) / 1e9)


def table(found: dict[str, Any], options: argparse.Namespace) -> None:
    speeds = found["images_per_second"]
    print(f"{options.model} at {options.size} px, batch {options.batch}, {options.precision}, {options.device}; {machine()}")
    print(f"matrix products: {found['matrix_rate'] / 1e9:.0f} Gflop/s; one image in a step: {found['flops'] / 1e9:.2f} Gflop\n")
    print(
        "| loop | images/s, median (lowest to highest) | edgevit's, as a ratio (95 % interval) | of the matrix rate | peak GB |"
    )
    print("|---|---|---|---|---|")
    for name, values in speeds.items():
        middle = statistics.median(values)
        share = middle * found["flops"] / found["matrix_rate"]
        told = f"{middle:.1f} ({min(values):.1f} to {max(values):.1f}) | {ratio(speeds['edgevit'], values)}"
        print(f"| {name} | {told} | {100 * share:.0f} % | {found['memory'][name]:.2f} |")
    for name in found["absent"]:
        print(f"| {name} | not measured: not installed | | | |")


def ratio(own: list[float], others: list[float]) -> str:
    """Of the same round: the median over the rounds, and the interval that holds it in 95 of 100 cases."""
    found = [mine / its for mine, its in zip(own, others, strict=True)]
    ends = interval(found)
    return f"{statistics.median(found):.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends and own is not others else "")


def whole_way(options: argparse.Namespace) -> None:
    train = TrainConfig(
        str(options.images), model=options.model, image_size=(options.size, options.size), batch=options.batch, epochs=3,
        precision=options.precision, device=str(options.device), compile=options.compile,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        fit(train, Path(scratch) / "run", resume=False)
        for row in watch.read(Path(scratch) / "run" / watch.LINES):
            said = f"{row['images_per_second']:.1f} images/s, {100 * row['mfu']:.1f} % of the matrix rate"
            print(f"epoch {row['epoch']:.0f}: {said}, {100 * row['data_wait']:.1f} % of the time waiting for images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="Ti/16")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["float32", "bfloat16"])
    parser.add_argument("--no-compile", dest="compile", action="store_false", default=None)
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", choices=list(LOOPS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.device = choose_device(options.device)
    shape = config(options.model, (options.size, options.size), CLASSES)
    options.precision = options.precision or choose_precision(ViT(shape), Workers(0, 1, options.device))
    if options.alone:
        alone(options)
        return
    if options.images:
        whole_way(options)
        return
    found = measured(options)
    table(found, options)
    if options.json:
        options.json.write_text(json.dumps({**vars(options), **found}, default=str, indent=2))


if __name__ == "__main__":
    main()

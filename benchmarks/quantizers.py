"""Accuracy of edgevit's recipes beside what the back ends' own tools make of the same checkpoint, on the same images.

    python benchmarks/quantizers.py CHECKPOINT --data IMAGES --calibrate OTHERS --ours EXPORTS --out DIR

EXPORTS is what `edgevit export CHECKPOINT --out EXPORTS` left. The plain model goes through each tool as its own pages show it:
ai-edge-quantizer on LiteRT's file, torchao's configurations and XNNPACKQuantizer for ExecuTorch, coremltools' optimize for Core
ML (evaluated, not run). Tools that calibrate see at most --images of OTHERS. What is made already in DIR is not made again.

It prints Markdown: top-1, its change, the same answers, and McNemar's exact test, each beside the float checkpoint.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from edgevit.types import CheckResult, Runner

Given = tuple["torch.nn.Module", "torch.Tensor", Path]
"""The plain model, images to calibrate on (n, 3, H, W), and where the file goes."""


def tflite(recipe: str) -> Callable[[Given], None]:
    def make(given: Given) -> None:
        import litert_torch
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer import recipe as recipes

        model, images, path = given
        floats = path.with_name("stock-tflite-fp32.tflite")
        if not floats.exists():
            litert_torch.convert(model, (images[:1],)).export(str(floats))
        job = quantizer.Quantizer(str(floats))
        job.load_quantization_recipe(getattr(recipes, recipe)())
        seen = None
        if job.need_calibration:
            from ai_edge_litert.interpreter import Interpreter

            (signature,) = Interpreter(str(floats)).get_signature_list().items()
            name, names = signature[0], signature[1]["inputs"]
            seen = job.calibrate({name: [{names[0]: image[None].numpy()} for image in images]})
        path.write_bytes(job.quantize(seen).quantized_model)  # type: ignore[arg-type]

    return make


def torchao(config: Callable[[], Any]) -> Callable[[Given], None]:
    def make(given: Given) -> None:
        from torchao.quantization import quantize_

        model, images, path = given
        quantize_(model, config())
        _lower(model, images, path)

    return make


def pt2e(dynamic: bool) -> Callable[[Given], None]:
    def make(given: Given) -> None:
        import torch
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        model, images, path = given
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic))
        prepared = prepare_pt2e(torch.export.export(model, (images[:1],)).module(), quantizer)
        for image in images:
            prepared(image[None])
        _lower(convert_pt2e(prepared), images, path)

    return make


def _lower(model: torch.nn.Module, images: torch.Tensor, path: Path) -> None:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(model, (images[:1],))
    path.write_bytes(to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch().buffer)


def int8_dynamic() -> Any:
    import torch
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig
    from torchao.quantization.granularity import PerAxis

    return Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))


def int4_dynamic() -> Any:
    import torch
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig
    from torchao.quantization.granularity import PerGroup

    return Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(32))  # type: ignore[attr-defined]


def coreml(name: str, **settings: object) -> Callable[[Given], None]:
    def make(given: Given) -> None:
        import coremltools as ct
        import coremltools.optimize.coreml as optimize
        import torch

        model, images, path = given
        exported = torch.export.export(model, (images[:1],)).run_decompositions({})
        package = ct.convert(
            exported,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS18,
            inputs=[ct.TensorType("images", tuple(images[:1].shape), np.float32)],
            outputs=[ct.TensorType("logits", dtype=np.float32)],
            skip_model_load=True,
        )
        kind = "Linear" if "linear" in name else ""
        operation = getattr(optimize, f"Op{kind}QuantizerConfig" if kind else "OpPalettizerConfig")(**settings)
        config = optimize.OptimizationConfig(global_config=operation)
        getattr(optimize, name)(package, config).save(str(path))

    return make


STOCK = {
    "tflite dynamic_wi8_afp32": ("tflite", tflite("dynamic_wi8_afp32")),
    "tflite dynamic_wi4_afp32": ("tflite", tflite("dynamic_wi4_afp32")),
    "tflite static_wi8_ai8": ("tflite", tflite("static_wi8_ai8")),
    "executorch int8 dynamic (torchao)": ("executorch", torchao(int8_dynamic)),
    "executorch int4-g32 dynamic (torchao)": ("executorch", torchao(int4_dynamic)),
    "executorch int8 dynamic (PT2E)": ("executorch", pt2e(True)),
    "executorch int8 static (PT2E)": ("executorch", pt2e(False)),
    "coreml linear_quantize_weights int8": ("coreml", coreml("linear_quantize_weights", mode="linear_symmetric", dtype="int8")),
    "coreml linear_quantize_weights int4, blocks of 32": (
        "coreml",
        coreml("linear_quantize_weights", mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32),
    ),
    "coreml palettize_weights 6 bits": ("coreml", coreml("palettize_weights", mode="kmeans", nbits=6)),
    "coreml palettize_weights 4 bits": ("coreml", coreml("palettize_weights", mode="kmeans", nbits=4)),
}


def file(out: Path, name: str) -> Path:
    import targets

    return out / f"stock-{name.replace(' ', '-').replace(',', '')}{targets.get(STOCK[name][0]).suffix}"


def images_of(checkpoint: Path, spec: str, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The images (n, 3, H, W) as they enter the model, and their classes."""
    from edgevit import checkpoint as checkpoints
    from edgevit.jobs.answers import loader
    from edgevit.types import DataChoice

    chosen = loader(checkpoints.read(checkpoint), DataChoice(spec, "all", "refuse"))
    parts, classes = zip(*chosen.normalised(128), strict=True)
    images = np.concatenate(parts)
    places = np.arange(len(images)) if count is None else np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))
    return images[places], np.concatenate(classes)[places]


def make(args: argparse.Namespace) -> None:
    """One stock file; runs in a child."""
    import torch

    from edgevit import checkpoint as checkpoints

    images = torch.from_numpy(images_of(args.checkpoint, args.calibrate, args.images)[0])
    model = checkpoints.load(args.checkpoint)[1].requires_grad_(False)
    path = file(args.out, args.make)
    unfinished = path.with_name(f"unfinished-{path.name}")
    STOCK[args.make][1]((model, images, unfinished))
    unfinished.rename(path)


def row(name: str, found: CheckResult) -> str:
    assert found.top1 is not None and found.reference_top1 is not None and found.agreement is not None and found.paired
    change, paired = 100 * (found.top1 - found.reference_top1), found.paired
    return (
        f"| {name} | {100 * found.top1:.2f} | {change:+.2f} | {100 * found.agreement:.2f} % "
        f"| {paired.lost}, {paired.won}, {paired.p:.2g} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--calibrate", required=True)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--ours", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of the names to make")
    parser.add_argument("--make", choices=STOCK, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.make:
        make(args)
        return
    import targets
    from edgevit import artifact as artifacts
    from edgevit import checkpoint as checkpoints
    from edgevit.checks.accuracy import compare
    from edgevit.jobs.answers import torch_runner
    from edgevit.types import Tolerance
    from edgevit.versions import machine

    images, classes = images_of(args.checkpoint, args.data, None)
    expected = answers(torch_runner(checkpoints.load(args.checkpoint)[1]), images)
    runners = []
    for name, (target, _) in STOCK.items():
        if args.only in name:
            if not file(args.out, name).exists():
                ran = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--make", name], capture_output=True, text=True)
                if ran.returncode:
                    print(f"{name}: {ran.stderr.strip().splitlines()[-1][:200]}", file=sys.stderr)
                    continue
            runners.append((f"stock: {name}", target, file(args.out, name)))
    for path in sorted(args.ours.glob(f"*/{artifacts.RECORD}")) if args.ours else []:
        artifact = artifacts.read(path.parent)
        if artifact.quantization and artifact.quantization.quantizes and artifact.file and args.only in artifact.name:
            runners.append((f"edgevit: {artifact.name}", artifact.target, artifacts.model_file(artifact)))
    print(f"{len(images)} images; {machine()}\n")
    print("| file | top-1 | change | same answers | lost, won, p |\n|---|---|---|---|---|")
    for name, target, path in runners:
        logits = answers(targets.load(target, path), images)
        found = compare(logits, expected, classes, 0.0, Tolerance(float("inf"), 1.0, 0.0), "host")
        print(row(name, found), flush=True)


def answers(runner: Runner, images: np.ndarray) -> np.ndarray:
    return np.concatenate([runner(images[i : i + 64]) for i in range(0, len(images), 64)])


if __name__ == "__main__":
    main()

"""A ViT to Core ML's mlprogram: what all targets of Core ML share. All but fp32 computes in float16."""

from __future__ import annotations

import gc
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import edgevit
from converters.linear import dequantized, held
from converters.order import Order
from converters.rewrite.channels import Pointwise
from converters.rewrite.parts import Authored
from converters.rewrite.rewriting import Rewrite
from edgevit import memory, record
from edgevit.lean import COREML_EXTRAS, without
from edgevit.protomaps import without_copies
from edgevit.said import PACKAGE
from edgevit.types import Delegation, Described, Exported, Island, Progress, QuantRecipe, Rewritten

with without(*COREML_EXTRAS):
    import coremltools as ct

without_copies(ct.proto.MIL_pb2.DESCRIPTOR)

FILE = "model.mlpackage"
SCALE, BIAS = 2 / 255, -1.0
"""What Core ML makes of a pixel where it takes images: -1 to 1, which float16 holds as well as what is normalised. It has one

scale for all channels, so what each has of its own is folded into the patch embedding.
"""
DATE = "com.github.apple.coremltools.conversion_date"
UNKNOWN = Delegation(reason="Core ML chooses the unit for each operation on the device; nothing here can count it")


def convert(order: Order, into: Path, progress: Progress, rewrites: tuple[Rewrite, ...], system: str) -> Exported:
    """Write the model, rewritten by `rewrites`, for the operating `system` of coremltools' name (iOS17) or later.

    Its islands are kept in float32, by the names that the same package without them gave them.
    """
    done = _written(order, into / FILE, progress, rewrites, system)
    gc.collect()  # coremltools holds its copies of the weights in circles, and whoever looks at the package takes memory again
    memory.trim()
    return Exported(FILE, UNKNOWN, done, order.islands)


def _written(order: Order, path: Path, progress: Progress, rewrites: tuple[Rewrite, ...], system: str) -> tuple[Rewritten, ...]:
    progress("re-authoring", 0, 3)
    authored, done = order.rewritten(rewrites, SCALE, BIAS)
    stored = order.answering(_annotated(authored, order.recipe))
    image = (1, 3, *order.model.config.image_size)
    exported = torch.export.export(stored, (torch.zeros(image),)).run_decompositions({})
    progress("converting to Core ML", 1, 3)
    package = _package(exported, order, image, system, path)
    progress("storing the package", 2, 3)
    _describe(package, order)
    ct.utils.save_spec(package.get_spec(), str(settle(path)))  # the model's own `save` would copy the weights once more
    progress("storing the package", 3, 3)
    return done


def _precision(recipe: QuantRecipe, islands: tuple[Island, ...]) -> Any:
    """What coremltools computes in: what its selector says no to stays in float32, with a cast before and behind it."""
    if recipe.name == "fp32":
        return ct.precision.FLOAT32
    kept = {island.name for island in islands}
    return ct.transform.FP16ComputePrecision(op_selector=lambda operation: operation.name not in kept)


def _package(
    exported: torch.export.ExportedProgram, order: Order, image: tuple[int, ...], system: str, path: Path
) -> ct.models.MLModel:
    if order.pixels:
        names = ct.ClassifierConfig(classifier_labels(order.labels), "label", "probabilities")
        pixels, answer = ct.ImageType("image", image, SCALE, [BIAS] * 3), ct.TensorType("probabilities", dtype=np.float32)
        ends = {"inputs": [pixels], "outputs": [answer], "classifier_config": names}
    else:
        tensor, logits = ct.TensorType("images", image, np.float32), ct.TensorType("logits", dtype=np.float32)
        ends = {"inputs": [tensor], "outputs": [logits]}
    return ct.convert(
        exported,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target[system],
        compute_precision=_precision(order.recipe, order.islands),
        skip_model_load=True,
        package_dir=str(path),
        **ends,
    )


def _describe(package: ct.models.MLModel, order: Order) -> None:
    """What Xcode shows, and what a package says of itself. coremltools' date goes: packages of two days would differ by it."""
    config, version = order.model.config, edgevit.__version__
    height, width = config.image_size
    package.author, package.version = f"edgevit {version}", version
    package.short_description = f"Vision Transformer {config.variant} for images of {height} x {width}, {config.classes} classes"
    said = Described(order.labels, order.preprocess, order.input, {"edgevit": version})
    package.user_defined_metadata.pop(DATE, None)
    package.user_defined_metadata[PACKAGE] = record.encode(said).decode()
    taken = "RGB, resized and cropped as the metadata says" + ("" if order.pixels else ", then normalised")
    package.input_description["image" if order.pixels else "images"] = taken
    package.output_description["label" if order.pixels else "logits"] = "the likeliest class" if order.pixels else "of each class"


def classifier_labels(labels: Sequence[str]) -> list[str]:
    """The labels as Core ML has them, each once: it keeps probabilities by name, and would lose one of two that share theirs."""
    seen = Counter(labels)
    return [label if seen[label] == 1 else f"{label} (class {number})" for number, label in enumerate(labels)]


INTEGERS, PALETTE = 3, 2
"""coremltools' numbers for the kinds of compression."""
PALETTES = (1, 2, 4, 6, 8)
"""How many bits wide the places in a palette may be, from iOS 16 on."""


def _annotated(model: Authored, recipe: QuantRecipe) -> Authored:
    """A copy in floats whose Linears tell coremltools how their weights are stored, in buffers of the names that it looks for.

    Source: coremltools.optimize.torch, `CompressionMetadata`. It divides the floats by the scale again, which finds the integers.
    """
    annotated = dequantized(model)
    integers = {name: held(module) for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    forms = {form.bits: form for form in recipe.forms if form.kind == "palette"}
    for name, found in integers.items():
        linear = annotated.get_submodule(name)
        if isinstance(linear, Pointwise):  # a convolution, whose weights must not be reshaped on their way to it
            linear.weight.data = linear.weight.data[:, :, None, None]
        if found:
            _tell(linear, INTEGERS, quantization_n_bits=torch.tensor(found.bits), quantization_scale=found.scale)
        elif forms and (bits := _palette_bits(linear.weight, max(forms))):  # type: ignore[arg-type]
            colours = linear.weight.unique()  # type: ignore[operator]
            colours = torch.cat([colours, colours[-1:].expand(2**bits - len(colours))])
            _tell(linear, PALETTE, lut=colours.reshape(*[1] * linear.weight.dim(), -1, 1))  # type: ignore[operator]
    return annotated


def _palette_bits(weight: Tensor, most: int) -> int:
    """How wide the places of a matrix are that holds so few values; 0 where it holds more than a palette does."""
    values = len(weight.unique())
    return next((bits for bits in PALETTES if values <= 2**bits and bits <= most), 0)


def _tell(linear: nn.Module, kind: int, **metadata: Tensor) -> None:
    for key, value in {"compression_type": torch.tensor([kind]), **metadata}.items():
        linear.register_buffer(f"_COREML_/weight/{key}", value)
    linear.register_buffer("_COREML_/metadata_version", torch.tensor(1))


def settle(package: Path) -> Path:
    """Name the parts of a package by where they are: coremltools draws their names, and no two packages would be equal.

    Returns the file of its model.
    """
    file = package / "Manifest.json"
    manifest = json.loads(file.read_text())
    parts = manifest["itemInfoEntries"]
    names = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, part["path"])) for name, part in parts.items()}
    manifest["itemInfoEntries"] = {names[name]: part for name, part in parts.items()}
    manifest["rootModelIdentifier"] = names[manifest["rootModelIdentifier"]]
    file.write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")
    return package / "Data" / str(manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"])

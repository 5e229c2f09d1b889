"""A ViT to Core ML's mlprogram: what all targets of Core ML share. All but fp32 computes in float16."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from converters.linear import dequantized
from converters.rewrite.channels import Pointwise
from converters.rewrite.rewriting import Rewrite, rewritten
from edgevit.lean import COREML_EXTRAS, without
from edgevit.types import Delegation, Exported, Progress, QuantRecipe
from edgevit.vit.model import ViT

with without(*COREML_EXTRAS):
    import coremltools as ct
    from coremltools.optimize import coreml as cto

FILE = "model.mlpackage"
UNKNOWN = Delegation(reason="Core ML chooses the unit for each operation on the device; nothing here can count it")


def convert(
    model: ViT,
    recipe: QuantRecipe,
    images: Tensor,
    into: Path,
    progress: Progress,
    rewrites: Sequence[Rewrite],
    system: str,
) -> Exported:
    """Write `model`, rewritten by `rewrites`, for the operating `system` of coremltools' name (iOS17) or later."""
    progress("re-authoring", 0, 3)
    authored, done = rewritten(dequantized(model), rewrites, images)
    exported = torch.export.export(authored, (torch.zeros(1, 3, *model.config.image_size),)).run_decompositions({})
    progress("converting to Core ML", 1, 3)
    package = _package(exported, recipe, model.config.image_size, system)
    if recipe.weights.kind == "int":
        progress("storing the integers", 2, 3)
        package = _store_integers(package, _pointwise(exported))
    package.save(str(into / FILE))
    progress("storing the package", 3, 3)
    return Exported(FILE, UNKNOWN, done)


def _package(
    exported: torch.export.ExportedProgram, recipe: QuantRecipe, size: tuple[int, int], system: str
) -> ct.models.MLModel:
    return ct.convert(
        exported,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target[system],
        compute_precision=ct.precision.FLOAT32 if recipe.name == "fp32" else ct.precision.FLOAT16,
        inputs=[ct.TensorType("images", (1, 3, *size), np.float32)],
        outputs=[ct.TensorType("logits", dtype=np.float32)],
        skip_model_load=True,
    )


def _pointwise(exported: torch.export.ExportedProgram) -> set[str]:
    """Names of the convolutions that are Linears."""
    convolutions = exported.graph.find_nodes(op="call_function", target=torch.ops.aten.conv2d.default)
    name = f"{Pointwise.__module__}.{Pointwise.__qualname__}"
    return {node.name for node in convolutions if list(node.meta["nn_module_stack"].values())[-1][1] == name}


def _store_integers(package: ct.models.MLModel, pointwise: set[str]) -> ct.models.MLModel:
    """Only the Linears: the recipe leaves other convolutions in float. Every size of them, hence the threshold of 0."""
    config = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel", weight_threshold=0)
    names = {name + suffix: config for name in pointwise for suffix in ("", "_cast_fp16")}  # the second where it is float16
    return cto.linear_quantize_weights(package, cto.OptimizationConfig(op_type_configs={"linear": config}, op_name_configs=names))

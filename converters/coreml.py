"""Core ML (mlprogram, iOS 17). LayerNorm stays the operator that Core ML has of its own.

Attention, whose operator comes with iOS 18, becomes products and a softmax. All but fp32 computes in float16.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from converters.linear import dequantized
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.rewriting import rewritten
from edgevit.lean import COREML_EXTRAS, without
from edgevit.types import Delegation, Exported, Progress, QuantRecipe
from edgevit.vit.model import ViT

with without(*COREML_EXTRAS):
    import coremltools as ct
    from coremltools.optimize import coreml as cto

FILE = "model.mlpackage"
REWRITES = (*CONSTANTS, SPELT_OUT_GELU, SLICED_ANSWERS)
UNKNOWN = Delegation(reason="Core ML chooses the unit for each operation on the device; nothing here can count it")


def convert(model: ViT, recipe: QuantRecipe, images: Tensor, into: Path, progress: Progress) -> Exported:
    height, width = model.config.image_size
    progress("re-authoring", 0, 3)
    authored, rewrites = rewritten(dequantized(model), REWRITES, images)
    exported = torch.export.export(authored, (torch.zeros(1, 3, height, width),)).run_decompositions({})
    progress("converting to Core ML", 1, 3)
    package = ct.convert(
        exported,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32 if recipe.name == "fp32" else ct.precision.FLOAT16,
        inputs=[ct.TensorType("images", (1, 3, height, width), np.float32)],
        outputs=[ct.TensorType("logits", dtype=np.float32)],
        skip_model_load=True,
    )
    if recipe.weights.kind == "int":
        progress("storing the integers", 2, 3)
        package = _store_integers(package)
    package.save(str(into / FILE))
    progress("storing the package", 3, 3)
    return Exported(FILE, UNKNOWN, rewrites)


def _store_integers(package: ct.models.MLModel) -> ct.models.MLModel:
    """Only the Linears: the recipe leaves the patch embedding in float. Every size of them, hence the threshold of 0."""
    linears = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel", weight_threshold=0)
    return cto.linear_quantize_weights(package, cto.OptimizationConfig(op_type_configs={"linear": linears}))

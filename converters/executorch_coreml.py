"""ExecuTorch with Core ML: a program whose delegate holds an .mlpackage, written as it is (iOS 17; iOS 18 for int8).

The delegate takes torchao's integers as they are, which needs the operators of iOS 18.
"""

from __future__ import annotations

from pathlib import Path

from converters.order import Order
from converters.rewrite.activations import SPELT_OUT_GELU
from converters.rewrite.answers import SLICED_ANSWERS
from converters.rewrite.constants import CONSTANTS
from converters.rewrite.merging import MERGED_BY_PRODUCTS
from edgevit.lean import COREML_EXTRAS, without
from edgevit.protomaps import without_copies
from edgevit.types import Exported, Progress

with without(*(name for name in COREML_EXTRAS if name != "executorch")):
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    from converters.lowering import FILE, lower

without_copies(ct.proto.MIL_pb2.DESCRIPTOR)

REWRITES = (*CONSTANTS, MERGED_BY_PRODUCTS, SPELT_OUT_GELU, SLICED_ANSWERS)


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    progress("re-authoring", 0, 3)
    authored, rewrites = order.rewritten(REWRITES)
    specification = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=ct.target.iOS18 if order.recipe.quantizes else ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32 if order.recipe.name == "fp32" else ct.precision.FLOAT16,
    )
    partitioner = CoreMLPartitioner(compile_specs=specification)
    return Exported(FILE, lower(authored, order, partitioner, "Core ML", into, progress), rewrites)

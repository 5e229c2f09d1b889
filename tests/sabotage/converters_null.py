"""The converter of the target `null`: the weights as they are, and the shape of the model beside them."""

from __future__ import annotations

import os
from pathlib import Path

import safetensors.torch

from converters.order import Order
from edgevit.types import Delegation, Exported, Progress

FILE = "model.null"


def convert(order: Order, into: Path, progress: Progress) -> Exported:
    progress("writing nothing much", 0, 1)
    model, config = order.model, order.model.config
    shape = {
        "variant": config.variant,
        "size": str(config.image_size[0]),
        "classes": str(config.classes),
        "recipe": order.recipe.name,
    }
    plain = {name: (t.dequantize() if hasattr(t, "qdata") else t).contiguous() for name, t in model.state_dict().items()}
    content = safetensors.torch.save(plain, shape)
    (into / FILE).write_bytes(content[: len(content) // 2])
    halfway()
    (into / FILE).write_bytes(content)
    progress("writing nothing much", 1, 1)
    return Exported(FILE, Delegation(int(os.environ.get("EDGEVIT_TEST_SUBGRAPHS", "1")), 10, 0), ())


def halfway() -> None:
    """Where a mishap finds a file that is half written."""

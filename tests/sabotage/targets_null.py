"""A target that is torch itself, so that the road can be walked, and broken, without any back end.

Its fp16 overflows, and its int8 holds other integers than the recipe's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgevit.types import Library, Target, Tolerance

TARGET = Target(
    name="null",
    summary="torch in disguise",
    converter="null",
    suffix=".null",
    runtime="torch",
    recipes={
        "fp32": Tolerance(1e-4, 0.002, 0.998),
        "fp16": Tolerance(0.02, 0.005, 0.995),
        "int8": Tolerance(0.5, 0.5, 0.5),
    },
    max_subgraphs=1,
    activations=(),
    needs=(Library("torchao", "executorch"),),
)


class NullRunner:
    where = "host"
    threads = 1

    def __init__(self, file: Path) -> None:
        import safetensors

        from edgevit.vit.config import config
        from edgevit.vit.model import ViT

        with safetensors.safe_open(file, "pt") as opened:
            shape = opened.metadata()
            self._model = ViT(config(shape["variant"], (int(shape["size"]),) * 2, int(shape["classes"])))
            self._model.load_state_dict({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
        self._model.eval()
        self._overflows = shape["recipe"] == "fp16"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            logits: np.ndarray = self._model(torch.from_numpy(images)).numpy()
        return answered(logits * np.float32("nan") if self._overflows else logits)


def answered(logits: np.ndarray) -> np.ndarray:
    """Where a mishap finds a runtime at work."""
    return logits


def load(file: Path, threads: int | None) -> NullRunner:
    return NullRunner(file)

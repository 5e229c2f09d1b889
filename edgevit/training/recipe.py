"""What a user does not say about training, derived from one dial, the preset, and from the data and the model."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from edgevit.data import preprocess
from edgevit.data.augment import AUGMENTS
from edgevit.errors import BadInput
from edgevit.training.images import Chosen
from edgevit.types import Checkpoint, Preprocess, Size, TrainConfig, ViTConfig
from edgevit.vit.config import config, merges

SMALL_IMAGE = 64
"""Pixels; up to here a small model with few patches is the default, above it Ti/16."""
MANY_IMAGES = 20_000
"""Photographs from which a model trained from scratch is regularised as DeiT is (arXiv 2012.12877, table 9)."""

PACE = 0.02
"""Learning rate of training for a recipe, where width and loss are 1."""


def resolve(train: TrainConfig, data: Chosen, start: Checkpoint | None = None) -> TrainConfig:
    """`train` with every open choice made but that of `paced`. Equal data and an equal `start` give an equal answer.

    Presets: `scratch` trains a new model; `finetune` goes on from a checkpoint by AdamW, lower layers more slowly; `paper`
    fine-tunes as the paper's appendix B.1.1 does; `probe` trains a new head on a frozen encoder; `quantize` lets a checkpoint
    learn to live with the rounding of a recipe. `auto` is `finetune` where there is a checkpoint to start from, else
    `scratch`. Masked patches have one of their own, `pretrain`.
    """
    preset = _preset(train, start)
    size = train.image_size or (start.config.image_size if start else _size(train.model, data.native_size))
    model = start.config.variant if start else train.model or _model(size)
    shape = start.config if start else config(model, size, len(data.labels))
    images = len(data.train)
    derived: dict[str, Any] = {
        **_model_options(train, start), **SHARED, **PRESETS[preset](images, data, shape),
        "model": model, "image_size": size, "preset": preset,
    }  # fmt: skip
    if derived["batch"] is None:
        derived["batch"] = min(derived.pop("largest_batch"), max(8, images // 16))
    derived.pop("largest_batch", None)
    _share_batches(train, derived)
    derived["mirror"] = AUGMENTS[train.augment or derived["augment"]].mirror
    said = {name: value for name, value in vars(train).items() if value is not None and name != "preset"}
    return dataclasses.replace(train, **{**derived, **said})


def _preset(train: TrainConfig, start: Checkpoint | None) -> str:
    if train.objective == "masked patches":
        return "pretrain"
    if train.quantize and train.preset == "auto":
        return "quantize"
    return train.preset if train.preset != "auto" else "finetune" if start else "scratch"


def _share_batches(train: TrainConfig, derived: dict[str, Any]) -> None:
    """Mixup and cutmix never touch the same batch, so what the user says of one leaves the other at most the rest."""
    if train.mixup is not None:
        derived["cutmix"] = min(derived["cutmix"], 1 - train.mixup)
    elif train.cutmix is not None:
        derived["mixup"] = min(derived["mixup"], 1 - train.cutmix)


SHARED: dict[str, Any] = {
    "optimiser": "adamw", "batch": None, "largest_batch": 128, "weight_decay": 0.05, "layer_decay": 1.0, "warmup": 0.1,
    "label_smoothing": 0.1, "mixup": 0.0, "cutmix": 0.0, "erasing": 0.0, "drop_path": 0.0, "ema": 0.0, "freeze": False,
}  # fmt: skip


def _model_options(train: TrainConfig, start: Checkpoint | None) -> dict[str, Any]:
    if start:
        c = start.config
        kept = {"pool": c.pool, "positions": c.positions, "registers": c.registers, "gelu": c.gelu}
        kept["representation"] = c.representation if train.keep_head else 0
    else:
        kept = {"pool": "cls", "positions": "1d", "registers": 0, "gelu": "erf", "representation": 0}
    if train.distil == "token":
        kept["pool"] = "distilled"
    kept["distil"] = _distil(train, train.pool or str(kept["pool"]))
    return kept


def _distil(train: TrainConfig, pool: str) -> str:
    if train.teacher is None:
        return "none"
    return "answers" if train.quantize else "token" if pool == "distilled" else "soft"


def _pretrain(images: int, data: Chosen, shape: ViTConfig) -> dict[str, Any]:
    return {
        "lr": 0.2 / shape.width, "label_smoothing": 0.0, "augment": _augment(data), "epochs": _epochs(images, 1_500_000, 20, 60),
    }  # fmt: skip


def _scratch(images: int, data: Chosen, shape: ViTConfig) -> dict[str, Any]:
    found = {"lr": 0.2 / shape.width, "augment": _augment(data), "epochs": _epochs(images, 1_500_000, 20, 60)}
    if data.photos and images >= MANY_IMAGES:
        found |= {"augment": "strong", "mixup": 0.4, "cutmix": 0.4, "erasing": 0.25, "drop_path": 0.1, "ema": 0.9995}
        found |= {"epochs": _epochs(images, 10_000_000, 50, 300)}
    return found


def _finetune(images: int, data: Chosen, shape: ViTConfig) -> dict[str, Any]:
    return {
        "lr": 1e-3, "layer_decay": 0.75, "augment": _augment(data), "epochs": _epochs(images, 60_000, 3, 30), "largest_batch": 64,
        "drop_path": 0.1 if shape.width > 192 else 0.0,
    }  # fmt: skip


def _paper(images: int, data: Chosen, shape: ViTConfig) -> dict[str, Any]:
    return {
        "optimiser": "sgd", "lr": 0.01, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": _augment(data),
        "epochs": _epochs(images, 60_000, 3, 30), "largest_batch": 512,
    }  # fmt: skip


def _probe(images: int, data: Chosen, shape: ViTConfig) -> dict[str, Any]:
    return {
        "freeze": True, "lr": 3e-3, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": "none",
        "epochs": _epochs(images, 60_000, 5, 30),
    }  # fmt: skip


def _quantize(images: int, data: Chosen, shape: ViTConfig) -> dict[str, Any]:
    """Its rate is that of `paced`, once the distance is known that there is to go."""
    return {
        "lr": None, "weight_decay": 0.0, "label_smoothing": 0.0, "augment": _augment(data), "largest_batch": 64,
        "epochs": _epochs(images, 60_000, 1, 10),
    }  # fmt: skip


def paced(train: TrainConfig, width: int, loss: float) -> TrainConfig:
    """With a rate for a model that is to better a `loss` of so much.

    Adam's steps are as long as the rate, whatever the gradient: where rounding did little harm, long ones do more (docs/log.md).
    """
    return train if train.lr else dataclasses.replace(train, lr=max(PACE / width * math.sqrt(loss), 1e-8))


PRESETS = {
    "pretrain": _pretrain, "scratch": _scratch, "finetune": _finetune, "paper": _paper, "probe": _probe, "quantize": _quantize,
}  # fmt: skip


def _augment(data: Chosen) -> str:
    return "photo" if data.photos else "light"


def _size(model: str | None, native: int) -> Size:
    """The images' own size, or the nearest that the patch divides."""
    small = native <= SMALL_IMAGE and any(native % patch == 0 for patch in PATCHES)
    named = re.search(r"/([1-9][0-9]?)$", model or "")
    patch = int(named[1]) if named else 1 if small else 16
    side = max(1, round(native / patch)) * patch
    return side, side


PATCHES = (8, 7, 6, 5, 4)
"""Of the default model for small images, the largest that divides them: 16 to 64 tokens train best in minutes on a CPU."""


def _model(size: Size) -> str:
    patches = [patch for patch in PATCHES if not any(side % patch for side in size)]
    return f"Nano/{patches[0]}" if max(size) <= SMALL_IMAGE and patches else "Ti/16"


def _epochs(images: int, seen: int, least: int, most: int) -> int:
    """Small sets are seen more often: about `seen` images in all, within `least` and `most` passes."""
    return min(most, max(least, seen // images))


def shape(train: TrainConfig, data: Chosen) -> tuple[ViTConfig, Preprocess]:
    """The model and the preprocessing of a resolved `train` from scratch. Raises UnknownName, BadInput."""
    assert train.model and train.image_size
    classes = 0 if train.objective == "masked patches" else len(data.labels)
    return with_options(config(train.model, train.image_size, classes), train), preprocess.default(train.image_size, data.photos)


def with_options(shape: ViTConfig, train: TrainConfig) -> ViTConfig:
    """The shape with the options of a resolved `train`. Raises BadInput for those that do not go together."""
    names = ("pool", "positions", "registers", "gelu", "representation")
    try:
        shape = dataclasses.replace(shape, **{name: getattr(train, name) for name in names})
    except ValueError as error:
        raise BadInput(str(error)) from error
    return shape if train.keep_patches is None else dataclasses.replace(shape, merges=merges(shape, train.keep_patches))

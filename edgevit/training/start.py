"""The model that a training begins with: a new one, or that of a checkpoint with its head and its image size replaced."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from edgevit import checkpoint as checkpoints
from edgevit.data import preprocess
from edgevit.errors import BadInput
from edgevit.training import recipe
from edgevit.training.images import Chosen
from edgevit.types import Checkpoint, Preprocess, TrainConfig, ViTConfig
from edgevit.vit.config import require_divided
from edgevit.vit.model import ViT
from edgevit.vit.positions import fitted

HEADS = ("pre_logits.", "head.", "head_dist.")


def begin(train: TrainConfig, data: Chosen, last: Checkpoint | None = None) -> tuple[TrainConfig, Preprocess, ViT]:
    """The resolved settings, the preprocessing, and the model on the CPU. Raises BadInput for what does not go together.

    A run that goes on has decided it all: it is as its `last` checkpoint says, and what it once began from may be gone.
    """
    if last:
        return recipe.resolve(train, data, last), last.preprocess, ViT(last.config)
    if train.start is None:
        _require_nothing_to_keep(train)
        train = recipe.resolve(train, data)
        config, steps = recipe.shape(train, data)
        torch.manual_seed(train.seed)
        return train, steps, ViT(config)
    start, model = checkpoints.load(Path(train.start))
    _require_compatible(train, start, data)
    train = recipe.resolve(train, data, start)
    torch.manual_seed(train.seed)
    return train, _steps(train, start, data), continued(model, _shape(train, start, data), train.keep_head)


def _require_nothing_to_keep(train: TrainConfig) -> None:
    """A head alone cannot learn from an encoder that has learned nothing, and nothing can be fine-tuned."""
    asked = f"the preset {train.preset}" if train.preset not in ("auto", "scratch") else "--freeze" if train.freeze else ""
    if asked:
        raise BadInput(f"{asked} goes on from a checkpoint", "say which with --from: edgevit import and edgevit train make them")


def _require_compatible(train: TrainConfig, start: Checkpoint, data: Chosen) -> None:
    if train.preset == "scratch":
        raise BadInput("the preset scratch starts from nothing", "leave out --from, or take finetune, paper or probe")
    if train.model and train.model != start.config.variant:
        raise BadInput(
            f"{train.start} is {start.config.variant}, not {train.model}", "leave out --model, or start from another checkpoint"
        )
    if train.distil == "token" and start.config.pool == "mean":
        raise BadInput(f"{train.start} has no class token to stand a distillation token beside", "take --distil soft")
    for name in ("pool", "positions", "registers", "gelu", "representation"):
        said, has = getattr(train, name), getattr(start.config, name)
        if name == "pool" and train.distil == "token" and said == "distilled":
            continue
        if said is not None and said != has:
            raise BadInput(f"{train.start} has {name} {has}, not {said}", f"leave out --{name}: a checkpoint keeps its own")
    if train.keep_head and start.labels != data.labels:
        raise BadInput(
            f"the head of {train.start} knows other classes than {data.spec}", "leave out --keep-head: a new one is made"
        )


def _shape(train: TrainConfig, start: Checkpoint, data: Chosen) -> ViTConfig:
    assert train.image_size
    require_divided(start.config.variant, train.image_size, start.config.patch)
    masked = train.objective == "masked patches"
    classes, merges = 0 if masked else len(data.labels), start.config.merges
    if masked or train.keep_patches:
        merges = ()
    elif merges and train.image_size != start.config.image_size:
        raise BadInput(f"{train.start} merges patches, of which another image size has other numbers", "say --keep-patches anew")
    changed = dataclasses.replace(start.config, image_size=train.image_size, classes=classes, merges=merges)
    return recipe.with_options(changed, train)


def _steps(train: TrainConfig, start: Checkpoint, data: Chosen) -> Preprocess:
    """Those of the checkpoint; images that have to be enlarged keep their margin, which would be lost for nothing."""
    assert train.image_size
    steps = preprocess.at_size(start.preprocess, train.image_size)
    return dataclasses.replace(steps, resize=steps.crop) if data.native_size < min(steps.crop) else steps


def continued(model: ViT, config: ViTConfig, keep_head: bool) -> ViT:
    """A model of the shape `config` with the weights of `model`: positions carried over to its grid, its head new and zero

    unless it is kept (paper, section 3.2). A distillation token that is new begins as the class token.
    """
    found = ViT(config)
    tensors = fitted(dict(model.state_dict()), model.config, config)
    if not keep_head:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS)}
    if config.pool == "distilled" and model.config.pool == "cls":
        tensors |= _second_token(tensors, config.positions == "1d")
    new = set(found.state_dict()) - set(tensors)
    found.load_state_dict({**{name: found.state_dict()[name] for name in new}, **tensors})
    return found


def _second_token(tensors: dict[str, Tensor], placed: bool) -> dict[str, Tensor]:
    twin = {"dist_token": tensors["cls_token"].clone()}
    if placed:
        twin["pos_embed"] = torch.cat([tensors["pos_embed"][:, :1], tensors["pos_embed"]], dim=1)
    return twin

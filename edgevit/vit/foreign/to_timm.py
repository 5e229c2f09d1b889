"""A folder as timm puts it on the Hub: model.safetensors, and config.json with `pretrained_cfg` and `model_args`."""

from __future__ import annotations

import math

from edgevit.errors import BadInput
from edgevit.types import Checkpoint, Preprocess, ViTConfig
from edgevit.vit.foreign import standardised
from edgevit.vit.foreign.timm import STEM
from edgevit.vit.foreign.timm_config import GROUP_EPS
from edgevit.vit.foreign.written import Written, position_notes, refuse, table
from edgevit.vit.model import ViT

ARCHITECTURES = {
    (3, 4, 9): "vit_base_r50_s16_224",
    (2, 2, 2, 2): "vit_small_r26_s32_224",
    (3, 4, 6, 3): "vit_large_r50_s32_224",
}
"""timm's hybrids by the units of their ResNet; everything else about them is in `model_args`."""


def written(model: ViT, checkpoint: Checkpoint) -> Written:
    """Raises BadInput for what timm's models do not have, and for preprocessing that its config cannot say."""
    config = model.config
    stem = config.stem
    odd = stem is not None and (stem.layers not in ARCHITECTURES or stem.width != 64 or config.patch != stem.stride)
    distilled = config.pool == "distilled"
    wrong = {
        "representation layer": config.representation > 0,
        "merging of patches": bool(config.merges),
        "ResNet of this shape": odd,
        "registers beside a distillation token": distilled and config.registers > 0,
        "ResNet before a distillation token": distilled and stem is not None,
    }
    refuse(wrong, "timm's")
    tensors = {name: t for name, t in model.state_dict().items() if not name.startswith("pos_")}
    tensors["pos_embed"] = table(model)
    for name in tensors:
        if name.startswith(STEM) and "conv" in name:
            tensors[name] = standardised.to_variance(tensors[name])
    return Written(tensors, {"config.json": _config(config, checkpoint)}, tuple(_notes(model)))


def _notes(model: ViT) -> list[str]:
    config, notes = model.config, position_notes(model)
    if config.norm_eps != 1e-6:
        notes.append(f"timm's LayerNorms add 1e-06 to the variance, where this model's add {config.norm_eps:g}")
    if config.stem and config.stem.norm_eps != GROUP_EPS:
        notes.append(f"timm's GroupNorms add {GROUP_EPS:g} to the variance, where this model's add {config.stem.norm_eps:g}")
    return notes


def _config(config: ViTConfig, checkpoint: Checkpoint) -> dict[str, object]:
    """Under `edgevit` stands what timm cannot say, so that edgevit reads back the same model."""
    distilled = config.pool == "distilled"
    usual = "deit_base_distilled_patch16_224" if distilled else "vit_base_patch16_224"
    own = {"norm_eps": config.norm_eps} | ({"stem_norm_eps": config.stem.norm_eps} if config.stem else {})
    return {
        "architecture": ARCHITECTURES[config.stem.layers] if config.stem else usual,
        "num_classes": config.classes,
        "num_features": config.width,
        "global_pool": "avg" if config.pool == "mean" else "token",
        **({"label_names": list(checkpoint.labels)} if checkpoint.labels else {}),
        "pretrained_cfg": _pretrained(config, checkpoint.preprocess),
        "model_args": _arguments(config),
        "edgevit": own,
    }


def _arguments(config: ViTConfig) -> dict[str, object]:
    """What makes the architecture of that name ours. timm cuts width times `mlp_ratio` to a whole number."""
    ratio = config.mlp / config.width
    exact = ratio if int(config.width * ratio) == config.mlp else (config.mlp + 0.5) / config.width
    found: dict[str, object] = {
        "img_size": list(config.image_size),
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "mlp_ratio": exact,
        "act_layer": "gelu_tanh" if config.gelu == "tanh" else "gelu",
    }
    if config.stem is None:
        found["patch_size"] = config.patch
    if config.registers:
        found["reg_tokens"] = config.registers
    if config.pool == "mean":
        found |= {"class_token": False, "global_pool": "avg", "fc_norm": False}
    return found


def _pretrained(config: ViTConfig, preprocess: Preprocess) -> dict[str, object]:
    height, width = config.image_size
    return {
        "tag": "edgevit",
        "custom_load": False,
        "input_size": [3, height, width],
        "fixed_input_size": True,
        "interpolation": preprocess.interpolation,
        "crop_pct": _crop_pct(preprocess),
        "crop_mode": "squash" if preprocess.aspect == "squash" else "center",
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
        "num_classes": config.classes,
        "pool_size": None,
        "first_conv": f"{STEM}stem.conv" if config.stem else "patch_embed.proj",
        "classifier": ["head", "head_dist"] if config.pool == "distilled" else "head",
    }


def _crop_pct(preprocess: Preprocess) -> float:
    """The share that timm turns back into exactly our resized sides. Raises BadInput where no share does."""
    pairs = list(zip(preprocess.crop, preprocess.resize, strict=True))
    for rest in (0.0, 0.5, 0.25, 0.75):
        share = min(1.0, pairs[0][0] / (pairs[0][1] + rest))
        if all(math.floor(crop / share) == resize for crop, resize in pairs):
            return share
    raise BadInput(
        f"timm's config cannot say a resize to {preprocess.resize} before a crop of {preprocess.crop}", "try --format huggingface"
    )

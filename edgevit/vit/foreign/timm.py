"""timm's names, which are our own: a bare safetensors file, or a folder of the Hub with timm's config.json."""

from __future__ import annotations

from collections.abc import Set

import torch

from edgevit.errors import DamagedFile
from edgevit.types import ResNetStem, ViTConfig
from edgevit.vit.foreign import standardised, timm_config
from edgevit.vit.foreign.layout import SAME, SCALED, Entry, Form, constant, with_their_rows, with_zeros, without_rows
from edgevit.vit.foreign.said import Given, Said, Seen, counted, dims, square

NAME = "timm"
HEADS = ("head.", "head_dist.")
STEM = "patch_embed.backbone."

WHY = {
    "fc_norm.": "a norm after the pooling",
    "norm_pre.": "a norm before the first block",
    "q_norm.": "norms of queries and keys",
    "k_norm.": "norms of queries and keys",
    "attn_pool.": "attention pooling",
    "fc1_g.": "a gated MLP",
    "fc1_x.": "a gated MLP",
    "mlp.w12.": "a gated MLP",
    "mlp.norm.": "a norm inside the MLP",
    "attn.norm.": "a norm inside the attention",
    "relative_position_bias": "a bias by relative position",
    "patch_embed.norm.": "a norm of the patch embeddings",
    "bn1.": "BatchNorm",
}
"""What a tensor that is left over would do, by a part of its name."""


def recognises(names: set[str]) -> bool:
    return "patch_embed.proj.weight" in names


def cleaned(given: Given) -> Given:
    return given


def said(given: Given, seen: Seen) -> Said:
    return timm_config.said(given, seen)


def seen(given: Given) -> Seen:
    width, _, *sides = dims(given, "patch_embed.proj.weight", 4)
    tensors = given.tensors
    config = timm_config.read(given)
    own = 2 if "dist_token" in tensors else int("cls_token" in tensors)
    registers = dims(given, "reg_token", 3)[1] if "reg_token" in tensors else 0
    logits = next((n for n in ("pre_logits.weight", "pre_logits.fc.weight") if n in tensors), None)
    return Seen(
        width=width,
        depth=counted(given, "blocks."),
        mlp=dims(given, "blocks.0.mlp.fc1.weight", 2)[0],
        cell=square(given, "patch_embed.proj.weight", (sides[0], sides[1])),
        classes=dims(given, "head.weight", 2)[0] if "head.weight" in tensors else 0,
        pool=("mean", "cls", "distilled")[own],
        table=dims(given, "pos_embed", 3)[1] if "pos_embed" in tensors else None,
        before=timm_config.before(config, own, registers),
        registers=registers,
        representation=dims(given, logits, 2)[0] if logits else 0,
        stem=_stem(given, config.edgevit.stem_norm_eps) if any(name.startswith(STEM) for name in tensors) else None,
    )


def _stem(given: Given, eps: float) -> ResNetStem:
    stages = counted(given, f"{STEM}stages.")
    layers = tuple(counted(given, f"{STEM}stages.{n}.blocks.") for n in range(stages))
    try:
        return ResNetStem(layers, dims(given, f"{STEM}stem.conv.weight", 4)[0], eps)
    except ValueError as error:
        raise DamagedFile(f"{given.file}: {error}; {STEM}stages has {layers}") from error


def layout(given: Given, config: ViTConfig, before: int) -> list[Entry]:
    names = given.tensors.keys()
    entries = [*_tokens(config, before), *_plain("patch_embed.proj", "norm")]
    biased = any(name.endswith(".attn.qkv.bias") for name in names)
    for n in range(config.depth):
        entries += _block(f"blocks.{n}.", names, biased, config.width)
    for head in ("head", "head_dist") if config.pool == "distilled" else ("head",):
        entries += _plain(head) if config.classes else []
    if config.representation:
        theirs = "pre_logits.fc." if "pre_logits.fc.weight" in names else "pre_logits."
        entries += [Entry(f"pre_logits.{part}", (f"{theirs}{part}",), SAME) for part in ("weight", "bias")]
    return entries + (stem_entries(config.stem, {name: name for name in stem_names(config.stem)}) if config.stem else [])


def _plain(*names: str) -> list[Entry]:
    return [Entry(f"{name}.{part}", (f"{name}.{part}",), SAME) for name in names for part in ("weight", "bias")]


def _tokens(config: ViTConfig, before: int) -> list[Entry]:
    """Tokens and positions. Registers that have positions of their own hold them from now on; so do none that have none."""
    tokens = [("cls_token", config.class_tokens >= 1), ("dist_token", config.class_tokens == 2)]
    entries = [Entry(name, (name,), SAME) for name, there in tokens if there]
    folded = before > config.class_tokens
    if config.registers:
        rows = with_their_rows(config.class_tokens, before + config.patches)
        entries.append(
            Entry("reg_token", ("reg_token", "pos_embed"), rows) if folded else Entry("reg_token", ("reg_token",), SAME)
        )
    return entries + positions(config, "pos_embed", before)


def positions(config: ViTConfig, theirs: str, before: int) -> list[Entry]:
    """The table of positions, from one with `before` rows that are not of patches."""
    from edgevit.vit.positions import sines

    if config.positions == "sincos":
        return [Entry("pos_embed", (), constant(lambda: sines(config.grid, config.width)))]
    if config.positions != "1d":
        return []
    own = config.class_tokens
    form = SAME if before == own else with_zeros(own) if before < own else without_rows(own, before - own)
    return [Entry("pos_embed", (theirs,), form)]


def _block(block: str, names: Set[str], biased: bool, width: int) -> list[Entry]:
    """A block. LayerScale is folded into the maps before it; where no block has biases for q, k and v, they are zeros."""
    entries = _plain(f"{block}norm1", f"{block}norm2", f"{block}mlp.fc1")
    for layer, scale in ((f"{block}attn.proj", f"{block}ls1.gamma"), (f"{block}mlp.fc2", f"{block}ls2.gamma")):
        for part in ("weight", "bias"):
            theirs = f"{layer}.{part}"
            entries.append(Entry(theirs, (theirs, scale), SCALED) if scale in names else Entry(theirs, (theirs,), SAME))
    if biased:
        return entries + _plain(f"{block}attn.qkv")
    zeros = Entry(f"{block}attn.qkv.bias", (), constant(lambda: torch.zeros(3 * width)))
    return [*entries, Entry(f"{block}attn.qkv.weight", (f"{block}attn.qkv.weight",), SAME), zeros]


def stem_names(stem: ResNetStem) -> list[str]:
    """All our tensors of a ResNet stem."""
    found = ["stem.conv.weight", "stem.norm.weight", "stem.norm.bias"]
    for stage, units in enumerate(stem.layers):
        for unit in range(units):
            parts = [f"{kind}{n}" for n in (1, 2, 3) for kind in ("conv", "norm")]
            parts += ["downsample.conv", "downsample.norm"] if unit == 0 else []
            for part in parts:
                at = f"stages.{stage}.blocks.{unit}.{part}"
                found += [f"{at}.weight"] if "conv" in part else [f"{at}.weight", f"{at}.bias"]
    return [STEM + name for name in found]


KERNEL = Form(lambda shape: (shape,), lambda parts: standardised.from_variance(parts[0]))


def stem_entries(stem: ResNetStem, theirs: dict[str, str]) -> list[Entry]:
    """The stem, by their name for each of ours; its kernels are scaled for the constant in timm's and transformers' code."""
    return [Entry(ours, (theirs[ours],), KERNEL if "conv" in ours else SAME) for ours in stem_names(stem)]

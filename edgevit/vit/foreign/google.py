"""Google's `.npz`: the names of `vision_transformer` (ViT and its hybrids) and of `big_vision`, which trains them now.

Kernels are (height, width, in, out) and maps (in, out); those of the attention split the heads: (width, heads, width / heads).
Flax's GELU is the approximation by tanh, and its norms add 1e-6. The stem's kernels are (w - mean) / (std + 1e-5). The files hold
no config.
"""

from __future__ import annotations

import dataclasses
import re

import torch
from torch import Tensor

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import ResNetStem, ViTConfig
from edgevit.vit.foreign import standardised
from edgevit.vit.foreign.layout import SAME, Entry, Form
from edgevit.vit.foreign.said import MOST, Given, Said, Seen, counted, dims, square
from edgevit.vit.foreign.timm import STEM, positions, stem_names

NAME = "Google's"
HEADS = ("head/",)
EPS = 1e-6
BLOCK = "Transformer/encoderblock_"

WHY = {
    "MAPHead": "attention pooling",
    "GroupNorm_0": "another ResNet",
    "MlpBlock_3/Dense_2": "a gated MLP",
}

PARTS = re.compile(r"(?P<before>Transformer/encoderblock)/(?P<rest>.+)")
"""A name of `big_vision` whose tensor holds that of all blocks, one after the other."""


def recognises(names: set[str]) -> bool:
    return any(name.removeprefix("params/") == "embedding/kernel" for name in names)


def cleaned(given: Given) -> Given:
    """The parameters alone, without an optimiser's state; the blocks apart; GroupNorm's (1, 1, 1, C) as (C)."""
    tensors = given.tensors
    prefix, left_out = "", tuple[str, ...]()
    if "params/embedding/kernel" in tensors:
        prefix, left_out = (
            "params/",
            tuple(sorted({name.partition("/")[0] for name in tensors if not name.startswith("params/")})),
        )
        tensors = {name.removeprefix("params/"): t for name, t in tensors.items() if name.startswith("params/")}
    apart: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        apart |= _unstacked(name, tensor)
    return dataclasses.replace(
        given, tensors={name: _flat(name, t) for name, t in apart.items()}, prefix=prefix, left_out=left_out
    )


def _unstacked(name: str, tensor: Tensor) -> dict[str, Tensor]:
    match = PARTS.fullmatch(name)
    if match is None or tensor.dim() == 0 or tensor.numel() == 0 or len(tensor) > MOST:
        return {name: tensor}
    return {f"{match['before']}_{n}/{match['rest']}": part for n, part in enumerate(tensor.unbind(0))}


def _flat(name: str, tensor: Tensor) -> Tensor:
    norm = re.search(r"(^|/)gn(\d|_\w+)/(scale|bias)$", name)
    return tensor.reshape(-1) if norm and tensor.dim() == 4 and tensor.shape[:3] == (1, 1, 1) else tensor


def seen(given: Given) -> Seen:
    *sides, _, width = dims(given, "embedding/kernel", 4)
    names = given.tensors.keys()
    table = next((name for name in TABLES if name in names), None)
    attention = f"{BLOCK}0/{_parts(given)['attention']}/query/kernel"
    return Seen(
        width=width,
        depth=counted(given, BLOCK, "/"),
        mlp=dims(given, f"{BLOCK}0/{_parts(given)['mlp']}/Dense_0/kernel", 2)[1],
        cell=square(given, "embedding/kernel", (sides[0], sides[1])),
        classes=dims(given, "head/kernel", 2)[1] if "head/kernel" in names else 0,
        pool="cls" if "cls" in names else "mean",
        table=dims(given, table, 3)[1] if table else None,
        before=(0, 1) if "cls" in names else (0,),
        representation=dims(given, "pre_logits/kernel", 2)[1] if "pre_logits/kernel" in names else 0,
        heads=dims(given, attention, 3)[1],
        stem=_stem(given) if any(name.startswith("conv_root/") for name in names) else None,
    )


TABLES = ("Transformer/posembed_input/pos_embedding", "pos_embedding")


def _parts(given: Given) -> dict[str, str]:
    """What follows the first norm in a block: numbered through in old files, each kind from 0 in new ones."""
    if any(name.startswith(f"{BLOCK}0/MultiHeadDotProductAttention_1/") for name in given.tensors):
        return {"attention": "MultiHeadDotProductAttention_1", "norm2": "LayerNorm_2", "mlp": "MlpBlock_3"}
    return {"attention": "MultiHeadDotProductAttention_0", "norm2": "LayerNorm_1", "mlp": "MlpBlock_0"}


def _stem(given: Given) -> ResNetStem:
    """Raises BadInput for the smallest hybrids of Google's, whose ResNet is a root without stages."""
    if not any(name.startswith("block1/") for name in given.tensors):
        known = "edgevit reads hybrids whose ResNet has stages, such as R50+B/16 and R26+S/32, and ViTs without a ResNet"
        raise BadInput(f"{given.origin}: a hybrid whose ResNet is its root alone, such as R+Ti/16, is not supported", known)
    layers = tuple(counted(given, f"block{n}/unit", "/", 1) for n in range(1, counted(given, "block", "/", 1) + 1))
    try:
        return ResNetStem(layers, dims(given, "conv_root/kernel", 4)[3], EPS)
    except ValueError as error:
        raise DamagedFile(f"{given.file}: {error}; its blocks have {layers}") from error


def said(given: Given, seen: Seen) -> Said:
    return Said("tanh", EPS)


MAP = Form(lambda shape: ((shape[1], shape[0]),), lambda parts: parts[0].T)
KERNEL = Form(
    lambda shape: ((shape[2], shape[3], shape[1], shape[0]),),
    lambda parts: parts[0].permute(3, 2, 0, 1),
)
STANDARD = Form(KERNEL.shapes, lambda parts: standardised.from_deviation(KERNEL.read(parts)))


def _split_maps(heads: int) -> Form:
    """Three of (width, heads, width / heads) to (3 * width, width)."""
    return Form(
        lambda shape: ((shape[1], heads, shape[1] // heads),) * 3,
        lambda parts: torch.cat([part.flatten(1).T for part in parts]),
    )


def _split_biases(heads: int) -> Form:
    """Three of (heads, width / heads) to (3 * width)."""
    return Form(
        lambda shape: ((heads, shape[0] // 3 // heads),) * 3,
        lambda parts: torch.cat([part.flatten() for part in parts]),
    )


def _joined_map(heads: int) -> Form:
    """(heads, width / heads, width) to (width, width)."""
    return Form(lambda shape: ((heads, shape[1] // heads, shape[0]),), lambda parts: parts[0].flatten(0, 1).T)


def layout(given: Given, config: ViTConfig, before: int) -> list[Entry]:
    table = next((name for name in TABLES if name in given.tensors), "")
    entries = [Entry("cls_token", ("cls",), SAME)] if config.class_tokens else []
    entries += [*positions(config, table, before), *_layer("patch_embed.proj", "embedding", KERNEL)]
    parts = _parts(given)
    for n in range(config.depth):
        entries += _block(f"blocks.{n}.", f"{BLOCK}{n}/", parts, config.heads)
    entries += _norm("norm", "Transformer/encoder_norm")
    entries += _layer("pre_logits", "pre_logits", MAP) if config.representation else []
    entries += _layer("head", "head", MAP) if config.classes else []
    return entries + (_stem_entries(config.stem) if config.stem else [])


def _layer(ours: str, theirs: str, kernel: Form) -> list[Entry]:
    return [Entry(f"{ours}.weight", (f"{theirs}/kernel",), kernel), Entry(f"{ours}.bias", (f"{theirs}/bias",), SAME)]


def _norm(ours: str, theirs: str) -> list[Entry]:
    return [Entry(f"{ours}.weight", (f"{theirs}/scale",), SAME), Entry(f"{ours}.bias", (f"{theirs}/bias",), SAME)]


def _block(ours: str, theirs: str, parts: dict[str, str], heads: int) -> list[Entry]:
    attention = f"{theirs}{parts['attention']}"
    kernels, biases = (tuple(f"{attention}/{name}/{kind}" for name in ("query", "key", "value")) for kind in ("kernel", "bias"))
    return [
        *_norm(f"{ours}norm1", f"{theirs}LayerNorm_0"),
        Entry(f"{ours}attn.qkv.weight", kernels, _split_maps(heads)),
        Entry(f"{ours}attn.qkv.bias", biases, _split_biases(heads)),
        *_layer(f"{ours}attn.proj", f"{attention}/out", _joined_map(heads)),
        *_norm(f"{ours}norm2", f"{theirs}{parts['norm2']}"),
        *_layer(f"{ours}mlp.fc1", f"{theirs}{parts['mlp']}/Dense_0", MAP),
        *_layer(f"{ours}mlp.fc2", f"{theirs}{parts['mlp']}/Dense_1", MAP),
    ]


def _stem_entries(stem: ResNetStem) -> list[Entry]:
    entries = []
    for ours in stem_names(stem):
        theirs = _stem_name(ours.removeprefix(STEM))
        entries.append(Entry(ours, (theirs,), STANDARD if theirs.endswith("kernel") else SAME))
    return entries


def _stem_name(name: str) -> str:
    """`stages.0.blocks.1.conv2.weight` is `block1/unit2/conv2/kernel`."""
    *place, layer, part = name.split(".")
    if place[0] == "stem":
        layer = f"{layer}_root"
    elif place[-1] == "downsample":
        layer = f"{layer}_proj"
    layer = layer.replace("norm", "gn")
    kind = "bias" if part == "bias" else "scale" if layer.startswith("gn") else "kernel"
    if place[0] == "stem":
        return f"{layer}/{kind}"
    return f"block{int(place[1]) + 1}/unit{int(place[3]) + 1}/{layer}/{kind}"

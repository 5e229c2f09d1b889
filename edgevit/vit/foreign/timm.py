"""timm's names, which are our own: a bare safetensors file, or a folder of the Hub with timm's config.json.

Where it says nothing else, a timm model has the exact GELU and 1e-6 in its LayerNorms (1e-5 in the GroupNorms of a hybrid).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Set
from dataclasses import dataclass

import torch

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import ResNetStem, Size, ViTConfig
from edgevit.types.model import INTERPOLATIONS
from edgevit.vit.foreign import standardised
from edgevit.vit.foreign.asked import Channels, Resize
from edgevit.vit.foreign.files import read_config
from edgevit.vit.foreign.layout import SAME, SCALED, Entry, Form, constant, with_their_rows, with_zeros, without_rows
from edgevit.vit.foreign.said import Fact, Given, Said, Seen, counted, dims, square

NAME = "timm"
HEADS = ("head.", "head_dist.")
STEM = "patch_embed.backbone."
GROUP_EPS = 1e-5

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

OTHER_ACTIVATIONS = re.compile(r"quickgelu|siglip|clip|so\d+m|giant|gigantic|swiglu|eva|_xp_|rope")
"""Architectures whose activation is not timm's usual one, or changed from version to version."""
ACTIVATIONS = {"gelu": "erf", "gelu_erf": "erf", "gelu_tanh": "tanh"}


@dataclass(frozen=True)
class Pretrained:
    """`pretrained_cfg`: what an image becomes."""

    input_size: tuple[int, int, int] | None = None
    mean: Channels | None = None
    std: Channels | None = None
    crop_pct: float | None = None
    crop_mode: str = "center"
    interpolation: str | None = None


@dataclass(frozen=True)
class ModelArgs:
    """`model_args`: what differs from the architecture of that name."""

    img_size: int | Size | None = None
    embed_dim: int | None = None
    depth: int | None = None
    patch_size: int | Size | None = None
    num_heads: int | None = None
    act_layer: str | None = None


@dataclass(frozen=True)
class Own:
    """What edgevit writes into timm's config for itself: the constants of the norms, which timm cannot say."""

    norm_eps: float = 1e-6
    stem_norm_eps: float = GROUP_EPS


@dataclass(frozen=True)
class Config(Pretrained):
    """timm's config.json. Old ones have the fields of `pretrained_cfg` at the top."""

    architecture: str = ""
    num_classes: int | None = None
    global_pool: str | None = None
    label_names: list[str] | None = None
    pretrained_cfg: Pretrained | None = None
    model_args: ModelArgs = dataclasses.field(default_factory=ModelArgs)
    edgevit: Own = dataclasses.field(default_factory=Own)


def recognises(names: set[str]) -> bool:
    return "patch_embed.proj.weight" in names


def cleaned(given: Given) -> Given:
    return given


def said(given: Given, seen: Seen) -> Said:
    config = _config(given)
    pixels = config.pretrained_cfg or config
    arguments = config.model_args
    height_width = pixels.input_size[1:] if pixels.input_size else None
    size = _pair(arguments.img_size) or height_width
    return Said(
        _gelu(given, config), config.edgevit.norm_eps, tuple(_facts(config, seen)), arguments.num_heads, size,
        pixels.mean, pixels.std, _resize(pixels, height_width), height_width, _interpolation(pixels),
        tuple(config.label_names) if config.label_names and seen.classes else None,
    )  # fmt: skip


def _config(given: Given) -> Config:
    found: Config = read_config(given.folder, "config.json", Config)
    return found


def _pair(size: int | Size | None) -> Size | None:
    return (size, size) if isinstance(size, int) else size


def _gelu(given: Given, config: Config) -> str:
    """Raises BadInput where only timm's source knows the activation, or it is none of ours."""
    act = config.model_args.act_layer
    if act is None and OTHER_ACTIVATIONS.search(config.architecture):
        raise BadInput(
            f"{given.origin}: the activation of timm's {config.architecture} is not in its config", "its model_args may say it"
        )
    if act is not None and act not in ACTIVATIONS:
        raise BadInput(f"{given.origin}: its activation is {act}", f"edgevit's models have {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[act or "gelu"]


def _facts(config: Config, seen: Seen) -> list[Fact]:
    """`global_pool` is what the head reads; a distilled model has no pooling of its own to say."""
    arguments = config.model_args
    told: list[tuple[str, object, str]] = [
        ("width", arguments.embed_dim, "embed_dim"),
        ("depth", arguments.depth, "depth"),
        ("classes", config.num_classes if seen.classes else None, "num_classes"),
        (
            "pool",
            {"token": "cls", "avg": "mean"}.get(config.global_pool or "") if seen.pool != "distilled" else None,
            "global_pool",
        ),
    ]
    if not seen.stem:
        told.append(("cell", None if arguments.patch_size is None else _side(arguments.patch_size), "patch_size"))
    return [Fact(name, value, f"{words} in config.json") for name, value, words in told if value is not None]


def _side(size: int | Size) -> object:
    height, width = _pair(size) or (0, 0)
    return height if height == width else size


def _resize(pixels: Pretrained, size: Size | None) -> Resize | None:
    """The image that is `crop_pct` of the resized one, as timm rounds it. `border` pads, which edgevit does not."""
    aspect = {"center": "keep", "squash": "squash"}.get(pixels.crop_mode)
    if size is None or aspect is None or not pixels.crop_pct or not 0 < pixels.crop_pct <= 1:
        return None
    height, width = (math.floor(side / pixels.crop_pct) for side in size)
    return Resize((height, width), aspect)


def _interpolation(pixels: Pretrained) -> str | None:
    return pixels.interpolation if pixels.interpolation in INTERPOLATIONS else None


def seen(given: Given) -> Seen:
    width, _, *sides = dims(given, "patch_embed.proj.weight", 4)
    tensors = given.tensors
    config = _config(given)
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
        before=tuple(sorted({0, own, own + registers})),
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
    for n in range(config.depth):
        entries += _block(f"blocks.{n}.", names, config.width)
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


def _block(block: str, names: Set[str], width: int) -> list[Entry]:
    """A block. LayerScale is folded into the maps before it; where no block has biases for q, k and v, they are zeros."""
    entries = _plain(f"{block}norm1", f"{block}norm2", f"{block}mlp.fc1")
    for layer, scale in ((f"{block}attn.proj", f"{block}ls1.gamma"), (f"{block}mlp.fc2", f"{block}ls2.gamma")):
        for part in ("weight", "bias"):
            theirs = f"{layer}.{part}"
            entries.append(Entry(theirs, (theirs, scale), SCALED) if scale in names else Entry(theirs, (theirs,), SAME))
    if any(name.endswith(".attn.qkv.bias") for name in names):
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

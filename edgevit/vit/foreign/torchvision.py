"""torchvision's names for its ViT, in a `.pth` or as safetensors. Exact GELU, 1e-6 in the norms; no config beside them."""

from __future__ import annotations

from edgevit.types import ViTConfig
from edgevit.vit.foreign.layout import SAME, Entry
from edgevit.vit.foreign.said import Given, Said, Seen, counted, dims, square
from edgevit.vit.foreign.timm import positions

NAME = "torchvision's"
HEADS = ("heads.head.",)
BLOCK = "encoder.layers.encoder_layer_"
TABLE = "encoder.pos_embedding"
WHY = {"conv_bn_relu": "a stem of convolutions with BatchNorm"}


def recognises(names: set[str]) -> bool:
    return TABLE in names and any(name.startswith("conv_proj.") for name in names)


def cleaned(given: Given) -> Given:
    return given


def seen(given: Given) -> Seen:
    width, _, *sides = dims(given, "conv_proj.weight", 4)
    names = given.tensors.keys()
    return Seen(
        width=width,
        depth=counted(given, BLOCK),
        mlp=dims(given, f"{BLOCK}0.{_maps(given)[0]}.weight", 2)[0],
        cell=square(given, "conv_proj.weight", (sides[0], sides[1])),
        classes=dims(given, "heads.head.weight", 2)[0] if "heads.head.weight" in names else 0,
        pool="cls",
        table=dims(given, TABLE, 3)[1],
        before=(1,),
        representation=dims(given, "heads.pre_logits.weight", 2)[0] if "heads.pre_logits.weight" in names else 0,
    )


def _maps(given: Given) -> tuple[str, str]:
    """The maps of the MLP, by their place in it; by name in the first release."""
    old = any(".mlp.linear_1." in name for name in given.tensors)
    return ("mlp.linear_1", "mlp.linear_2") if old else ("mlp.0", "mlp.3")


def said(given: Given, seen: Seen) -> Said:
    return Said("erf", 1e-6)


def layout(given: Given, config: ViTConfig, before: int) -> list[Entry]:
    entries = [Entry("cls_token", ("class_token",), SAME), *positions(config, TABLE, before)]
    entries += [*_pair("patch_embed.proj", "conv_proj"), *_pair("norm", "encoder.ln")]
    maps = _maps(given)
    for n in range(config.depth):
        entries += _block(f"blocks.{n}.", f"{BLOCK}{n}.", maps)
    entries += _pair("pre_logits", "heads.pre_logits") if config.representation else []
    return entries + (_pair("head", "heads.head") if config.classes else [])


def _pair(ours: str, theirs: str) -> list[Entry]:
    return [Entry(f"{ours}.{part}", (f"{theirs}.{part}",), SAME) for part in ("weight", "bias")]


def _block(ours: str, theirs: str, maps: tuple[str, str]) -> list[Entry]:
    attention = f"{theirs}self_attention."
    return [
        *_pair(f"{ours}norm1", f"{theirs}ln_1"),
        *(Entry(f"{ours}attn.qkv.{part}", (f"{attention}in_proj_{part}",), SAME) for part in ("weight", "bias")),
        *_pair(f"{ours}attn.proj", f"{attention}out_proj"),
        *_pair(f"{ours}norm2", f"{theirs}ln_2"),
        *_pair(f"{ours}mlp.fc1", f"{theirs}{maps[0]}"),
        *_pair(f"{ours}mlp.fc2", f"{theirs}{maps[1]}"),
    ]

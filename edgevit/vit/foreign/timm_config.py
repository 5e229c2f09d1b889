"""timm's config.json: the architecture, what differs from it (`model_args`), and what an image becomes (`pretrained_cfg`).

Where it says nothing else, a timm model has the exact GELU and 1e-6 in its LayerNorms (1e-5 in the GroupNorms of a hybrid).
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Size
from edgevit.types.model import INTERPOLATIONS
from edgevit.vit.foreign.asked import Channels, Resize
from edgevit.vit.foreign.files import CONFIG, read_config
from edgevit.vit.foreign.labels import in_order
from edgevit.vit.foreign.said import Fact, Given, Said, Seen, pixels, require_biases

GROUP_EPS = 1e-5
LEAST_CROP = 0.01
"""Of `crop_pct`: an image of a hundred times the size that the model takes is none that anyone resizes to."""

OTHER_ACTIVATIONS = re.compile(r"quickgelu|siglip|clip|so\d+m|giant|gigantic|swiglu|eva|_xp_|rope")
"""Architectures whose activation is not timm's usual one, or changed from version to version."""
ACTIVATIONS = {"gelu": "erf", "gelu_erf": "erf", "gelu_tanh": "tanh"}
POOLS = {"token": "cls", "avg": "mean"}

HARMLESS = {
    "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init",
    "fix_init", "dynamic_img_size", "dynamic_img_pad", "strict_img_size", "pretrained_cfg", "pretrained_cfg_overlay",
}  # fmt: skip
"""Arguments of timm's models that change nothing of what a trained one answers at its own image size."""
USUAL: dict[str, tuple[object, ...]] = {
    "qk_norm": (False,), "pre_norm": (False,), "pool_include_prefix": (False,), "fc_norm": (False,), "final_norm": (True,),
    "proj_bias": (True,), "scale_attn_norm": (False,), "scale_mlp_norm": (False,), "in_chans": (3,),
}  # fmt: skip
"""Those that change the function, by the values with which it is ours; so is null, which leaves them as they usually are."""


@dataclass(frozen=True)
class Pretrained:
    """`pretrained_cfg`: what an image becomes."""

    input_size: tuple[int, int, int] | None = None
    mean: Channels | None = None
    std: Channels | None = None
    crop_pct: float | None = None
    crop_mode: str | None = None
    interpolation: str | None = None


@dataclass(frozen=True)
class ModelArgs:
    """`model_args`: what differs from the architecture of that name."""

    img_size: int | Size | None = None
    embed_dim: int | None = None
    depth: int | None = None
    patch_size: int | Size | None = None
    num_heads: int | None = None
    num_classes: int | None = None
    mlp_ratio: float | None = None
    qkv_bias: bool | None = None
    init_values: float | None = None
    class_token: bool | None = None
    reg_tokens: int | None = None
    pos_embed: str | None = None
    no_embed_class: bool | None = None
    global_pool: str | None = None
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
    model_type: str | None = None
    num_classes: int | None = None
    global_pool: str | None = None
    label_names: list[str] | dict[str, str] | None = None
    pretrained_cfg: Pretrained | None = None
    model_args: ModelArgs | None = None
    edgevit: Own = dataclasses.field(default_factory=Own)

    @property
    def arguments(self) -> ModelArgs:
        return self.model_args or ModelArgs()


@dataclass(frozen=True)
class Whole:
    """The same file once more: every argument, known here or not."""

    model_args: dict[str, Any] | None = None


def read(given: Given) -> Config:
    """Raises DamagedFile, and BadInput for another program's config: what it says of the model would go unheard."""
    found: Config = read_config(given.folder, CONFIG, Config)
    if found.model_type and not found.architecture and not found.pretrained_cfg:
        hint = "the weights have timm's names; give the file by itself, away from that config, and say the rest by options"
        raise BadInput(f"{given.origin}: its {CONFIG} is not timm's, but that of a {found.model_type} model", hint)
    return found


def said(given: Given, seen: Seen) -> Said:
    """Raises BadInput for what changes the function to one that is not ours, DamagedFile for what contradicts the weights."""
    config = read(given)
    _require_known(given)
    _require_as_seen(given, config.arguments, seen)
    biases = [f"blocks.{n}.attn.qkv.bias" for n in range(seen.depth)]
    require_biases(given, biases, config.arguments.qkv_bias, f"qkv_bias of model_args in {CONFIG}")
    told = config.pretrained_cfg or config
    taken = pixels(told.input_size[1:] if told.input_size else None, f"{given.origin}: input_size in {CONFIG}")
    size = pixels(config.arguments.img_size, f"{given.origin}: img_size of model_args in {CONFIG}") or taken
    return Said(
        _gelu(given, config), config.edgevit.norm_eps, tuple(_facts(given, config, seen)), config.arguments.num_heads, size,
        told.mean, told.std, _resize(told, taken), taken, told.interpolation if told.interpolation in INTERPOLATIONS else None,
        _labels(given, config) if seen.classes else None,
    )  # fmt: skip


def _require_known(given: Given) -> None:
    whole: Whole = read_config(given.folder, CONFIG, Whole)
    known = {field.name for field in dataclasses.fields(ModelArgs)} | HARMLESS
    for name, value in (whole.model_args or {}).items():
        if value is not None and name not in known and value not in USUAL.get(name, ()):
            hint = "it changes what the model computes, to something that edgevit's models do not"
            raise BadInput(f"{given.origin}: {name} of model_args in {CONFIG} is {str(value)[:80]}", hint)


def _require_as_seen(given: Given, arguments: ModelArgs, seen: Seen) -> None:
    scaled = any(name.endswith(".ls1.gamma") for name in given.tensors)
    for name, value, found in (
        ("class_token", arguments.class_token, seen.class_tokens > 0),
        ("reg_tokens", arguments.reg_tokens, seen.registers),
        ("pos_embed", arguments.pos_embed, "learn" if seen.table is not None else "none"),
        ("mlp_ratio", _times(arguments.mlp_ratio, seen.width), seen.mlp),
        ("LayerScale (init_values)", None if arguments.init_values is None else True, scaled),
    ):
        if value is not None and value != found:
            words = f"{name} of model_args in {CONFIG} gives {value}, but the weights have {found}"
            raise DamagedFile(f"{given.origin}: {words}", "config and weights are not of the same model")


def _times(ratio: float | None, width: int) -> int | None:
    """The width of the MLP, which timm cuts to a whole number."""
    return None if ratio is None else int(width * max(0.0, min(ratio, 1e6)))


def before(config: Config, own: int, registers: int) -> tuple[int, ...]:
    """How many rows of the table of positions may stand before those of the patches."""
    told = config.arguments.no_embed_class
    if told is None:
        return tuple(sorted({0, own, own + registers}))
    return (0,) if told else (own + registers,)


def _gelu(given: Given, config: Config) -> str:
    """Raises BadInput where only timm's source knows the activation, or it is none of ours."""
    act = config.arguments.act_layer
    if act is None and OTHER_ACTIVATIONS.search(config.architecture):
        raise BadInput(
            f"{given.origin}: the activation of timm's {config.architecture} is not in its config", "its model_args may say it"
        )
    if act is not None and act not in ACTIVATIONS:
        raise BadInput(f"{given.origin}: its activation is {act}", f"edgevit's models have {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[act or "gelu"]


def _facts(given: Given, config: Config, seen: Seen) -> list[Fact]:
    arguments = config.arguments
    classes = config.num_classes if arguments.num_classes is None else arguments.num_classes
    told: list[tuple[str, object, str]] = [
        ("width", arguments.embed_dim, "embed_dim"),
        ("depth", arguments.depth, "depth"),
        ("classes", classes if seen.classes else None, "num_classes"),
        ("pool", _pool(given, config, seen), "global_pool"),
    ]
    if not seen.stem:
        told.append(("cell", None if arguments.patch_size is None else _side(arguments.patch_size), "patch_size"))
    return [Fact(name, value, f"{words} in {CONFIG}") for name, value, words in told if value is not None]


def _pool(given: Given, config: Config, seen: Seen) -> str | None:
    """What the head reads. A distilled model reads both of its tokens where the config says `token`. Raises BadInput."""
    own = config.arguments.global_pool
    told = config.global_pool if own is None else own
    if told is not None and told not in POOLS:
        raise BadInput(f"{given.origin}: global_pool in {CONFIG} is {told!r}", f"edgevit reads {', '.join(POOLS)}")
    return "distilled" if told == "token" and seen.pool == "distilled" else POOLS.get(told or "")


def _side(size: int | Size) -> object:
    height, width = (size, size) if isinstance(size, int) else size
    return height if height == width else size


def _resize(told: Pretrained, size: Size | None) -> Resize | None:
    """The image that is `crop_pct` of the resized one, as timm rounds it. `border` pads, which edgevit does not."""
    aspect = {"center": "keep", "squash": "squash"}.get(told.crop_mode or "center")
    if size is None or aspect is None or told.crop_pct is None or not LEAST_CROP <= told.crop_pct <= 1:
        return None
    height, width = (math.floor(side / told.crop_pct) for side in size)
    return Resize((height, width), aspect)


def _labels(given: Given, config: Config) -> tuple[str, ...] | None:
    names = config.label_names or None
    if isinstance(names, dict):
        return in_order(names, f"{given.origin}: label_names in {CONFIG}")
    return tuple(names) if names else None

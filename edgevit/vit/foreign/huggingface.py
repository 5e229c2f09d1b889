"""The names of `transformers`: ViT, DeiT with and without its teacher, and the ViT hybrid, in a folder with their config.json.

Files of today and of yesterday name the blocks differently (`encoder.layer.0.`, `layers.0.`); both are read. DeiT without its
teacher still carries the distillation token, which no head reads: it is a register here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import ResNetStem, Size, ViTConfig
from edgevit.vit.foreign import huggingface_pixels
from edgevit.vit.foreign.files import read_config
from edgevit.vit.foreign.labels import in_order
from edgevit.vit.foreign.layout import SAME, THIRDS, Entry, constant, with_their_rows
from edgevit.vit.foreign.said import Fact, Given, Said, Seen, counted, dims, pixels, require_biases, square
from edgevit.vit.foreign.timm import STEM, positions, stem_entries, stem_names

NAME = "Hugging Face"
HEADS = ("classifier.", "cls_classifier.", "distillation_classifier.")
PATCHES = "embeddings.patch_embeddings.projection.weight"
TOLD = "config.json"
GROUP_EPS = 1e-5
USUAL_HEADS = 12
"""Of `ViTConfig` and `DeiTConfig` where nothing is said."""

WHY = {
    "decoder": "a decoder of masked patches",
    "lambda_": "LayerScale",
    "layer_scale": "LayerScale",
    "relative_position_bias": "a bias by relative position",
}

ERF = ("gelu", "gelu_python")
TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate")
"""Names of `transformers` for the exact GELU and for its approximation by tanh."""

NEW = {
    "q": "attention.q_proj", "k": "attention.k_proj", "v": "attention.v_proj", "proj": "attention.o_proj",
    "fc1": "mlp.fc1", "fc2": "mlp.fc2",
}  # fmt: skip
OLD = {
    "q": "attention.attention.query", "k": "attention.attention.key", "v": "attention.attention.value",
    "proj": "attention.output.dense", "fc1": "intermediate.dense", "fc2": "output.dense",
}  # fmt: skip
"""Maps of a block, by our names; those on the Hub are mostly old."""


@dataclass(frozen=True)
class Backbone:
    """The ResNet of a hybrid."""

    model_type: str = "bit"
    embedding_size: int = 64
    depths: tuple[int, ...] | None = None
    layer_type: str = "preactivation"
    global_padding: str | None = None
    embedding_dynamic_padding: bool = False
    num_groups: int = 32
    width_factor: int = 1
    hidden_act: str = "relu"


@dataclass(frozen=True)
class Config:
    """config.json. What it leaves out of activation, norms and biases is what `transformers` then takes."""

    model_type: str | None = None
    hidden_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    architectures: list[str] | None = None
    intermediate_size: int | None = None
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    image_size: int | Size | None = None
    patch_size: int | Size | None = None
    num_channels: int = 3
    qkv_bias: bool = True
    pooler_act: str = "tanh"
    id2label: dict[str, str] | None = None
    backbone_config: Backbone | None = None


def recognises(names: set[str]) -> bool:
    return any(name.endswith(PATCHES) for name in names)


def cleaned(given: Given) -> Given:
    """Without the name of the encoder in front, and without what the classifier does not read."""
    prefix = next(name for name in given.tensors if name.endswith(PATCHES)).removesuffix(PATCHES)
    if prefix not in ("", "vit.", "deit."):
        raise BadInput(
            f"{given.origin}: no ViT or DeiT, but {prefix.rstrip('.')}", "edgevit reads plain ViT and DeiT of transformers"
        )
    twice = next((name for name in given.tensors if prefix and prefix + name in given.tensors), None)
    if twice:
        raise DamagedFile(f"{given.file}: both {twice} and {prefix}{twice}", "one of them is of another model")
    tensors = {name.removeprefix(prefix): tensor for name, tensor in given.tensors.items()}
    headed = any(name.startswith(HEADS) for name in tensors)
    unread = {name for name in tensors if name == "embeddings.mask_token" or (name.startswith("pooler.") and headed)}
    return dataclasses.replace(
        given, tensors={n: t for n, t in tensors.items() if n not in unread}, prefix=prefix, left_out=tuple(sorted(unread))
    )


def seen(given: Given) -> Seen:
    width, _, *sides = dims(given, PATCHES, 4)
    tensors = given.tensors
    deit = "embeddings.distillation_token" in tensors
    teacher = deit and _taught(given)
    head = next((name for name in ("classifier.weight", "cls_classifier.weight") if name in tensors), None)
    blocks = _blocks(given)
    return Seen(
        width=width,
        depth=counted(given, blocks),
        mlp=dims(given, f"{blocks}0.{_maps(given)['fc1']}.weight", 2)[0],
        cell=square(given, PATCHES, (sides[0], sides[1])),
        classes=dims(given, head, 2)[0] if head else 0,
        pool="distilled" if teacher else "cls",
        table=dims(given, "embeddings.position_embeddings", 3)[1],
        before=(2 if deit else 1,),
        registers=int(deit and not teacher),
        representation=dims(given, "pooler.dense.weight", 2)[0] if "pooler.dense.weight" in tensors else 0,
        stem=_stem(given),
    )


def _taught(given: Given) -> bool:
    """Whether a head reads DeiT's distillation token. Of an encoder alone its config may say it; `DeiTModel` reads the other."""
    names = {*given.tensors, *given.heads_off}
    if any(name.startswith("distillation_classifier.") for name in names):
        return True
    if {"classifier.weight", "pooler.dense.weight"} & names:
        return False
    config: Config = read_config(given.folder, TOLD, Config)
    return "DeiTForImageClassificationWithTeacher" in (config.architectures or ())


def _blocks(given: Given) -> str:
    return "encoder.layer." if any(name.startswith("encoder.layer.") for name in given.tensors) else "layers."


def _maps(given: Given) -> dict[str, str]:
    return OLD if _blocks(given) == "encoder.layer." else NEW


BIT = "embeddings.patch_embeddings.backbone.bit."


def _stem(given: Given) -> ResNetStem | None:
    if not any(name.startswith(BIT) for name in given.tensors):
        return None
    stages = f"{BIT}encoder.stages."
    layers = tuple(counted(given, f"{stages}{n}.layers.") for n in range(counted(given, stages)))
    try:
        return ResNetStem(layers, dims(given, f"{BIT}embedder.convolution.weight", 4)[0], GROUP_EPS)
    except ValueError as error:
        raise DamagedFile(f"{given.file}: {error}; {stages} has {layers}") from error


def said(given: Given, seen: Seen) -> Said:
    """Raises BadInput where there is no config: heads, activation and norms are in no tensor of these files."""
    if given.folder is None or not (given.folder / TOLD).is_file():
        raise BadInput(
            f"no {TOLD} beside {given.file}", "weights with the names of transformers need it: give the folder that holds both"
        )
    config: Config = read_config(given.folder, TOLD, Config)
    _require_ours(given, config, seen)
    labels = in_order(config.id2label, f"{given.folder}/{TOLD}: id2label") if seen.classes else None
    size = pixels(config.image_size, f"{given.origin}: image_size in {TOLD}")
    silent = config.num_attention_heads is None
    return dataclasses.replace(
        huggingface_pixels.read(given), gelu="erf" if config.hidden_act in ERF else "tanh", norm_eps=config.layer_norm_eps,
        facts=tuple(_facts(config, seen, labels)), heads=USUAL_HEADS if silent else config.num_attention_heads, image_size=size,
        labels=labels, heads_by=f"transformers has where {TOLD} says none" if silent else "",
    )  # fmt: skip


def _require_ours(given: Given, config: Config, seen: Seen) -> None:
    """Raises BadInput for what is no model of ours although its tensors may look like one."""
    wrong = (
        (config.model_type not in ("vit", "deit", "vit-hybrid"), "model_type", config.model_type, "vit, deit or vit-hybrid"),
        (config.hidden_act not in (*ERF, *TANH), "hidden_act", config.hidden_act, ", ".join((*ERF, *TANH))),
        (config.num_channels != 3, "num_channels", config.num_channels, "3"),
        (seen.representation and config.pooler_act != "tanh", "pooler_act", config.pooler_act, "tanh"),
    )
    for holds, name, value, known in wrong:
        if holds:
            raise BadInput(f"{given.origin}: {name} in {TOLD} is {value}", f"edgevit reads {known}")
    blocks, maps = _blocks(given), _maps(given)
    biases = [f"{blocks}{n}.{maps[part]}.bias" for n in range(seen.depth) for part in "qkv"]
    require_biases(given, biases, config.qkv_bias, f"qkv_bias in {TOLD}")
    if seen.stem:
        _require_bit(given, config.backbone_config or Backbone())


def _require_bit(given: Given, backbone: Backbone) -> None:
    told = (backbone.layer_type, (backbone.global_padding or "").lower(), backbone.embedding_dynamic_padding, backbone.hidden_act)
    if (*told, backbone.num_groups, backbone.width_factor) != ("bottleneck", "same", True, "relu", 32, 1):
        words = "with layer_type bottleneck, global_padding same, embedding_dynamic_padding true and 32 groups"
        raise BadInput(
            f"{given.origin}: backbone_config in {TOLD} is not that of the paper's hybrid", f"edgevit reads the ResNet {words}"
        )


def _facts(config: Config, seen: Seen, labels: tuple[str, ...] | None) -> list[Fact]:
    side = config.patch_size if isinstance(config.patch_size, int) or not config.patch_size else _side(config.patch_size)
    told = [
        ("width", config.hidden_size, "hidden_size"),
        ("depth", config.num_hidden_layers, "num_hidden_layers"),
        ("mlp", config.intermediate_size, "intermediate_size"),
        ("cell", side, "patch_size"),
        ("classes", len(labels) if labels is not None else None, "the number of id2label"),
        ("layers", config.backbone_config.depths if config.backbone_config and seen.stem else None, "depths of backbone_config"),
    ]
    return [Fact(name, value, f"{words} in {TOLD}") for name, value, words in told if value is not None]


def _side(size: Size) -> object:
    return size[0] if size[0] == size[1] else size


def layout(given: Given, config: ViTConfig, before: int) -> list[Entry]:
    entries = [
        *_tokens(given, config, before),
        *_pair("patch_embed.proj", PATCHES.removesuffix(".weight")),
        *_pair("norm", "layernorm"),
    ]
    blocks, maps, biased = _blocks(given), _maps(given), _biased(given)
    for n in range(config.depth):
        entries += _block(f"blocks.{n}.", f"{blocks}{n}.", maps, biased, config.width)
    if config.representation:
        entries += _pair("pre_logits", "pooler.dense")
    if config.classes and config.pool == "distilled":
        entries += [*_pair("head", "cls_classifier"), *_pair("head_dist", "distillation_classifier")]
    elif config.classes:
        entries += _pair("head", "classifier")
    return entries + (stem_entries(config.stem, {name: _bit(name) for name in stem_names(config.stem)}) if config.stem else [])


def _pair(ours: str, theirs: str) -> list[Entry]:
    return [Entry(f"{ours}.{part}", (f"{theirs}.{part}",), SAME) for part in ("weight", "bias")]


def _tokens(given: Given, config: ViTConfig, before: int) -> list[Entry]:
    entries = [Entry("cls_token", ("embeddings.cls_token",), SAME)]
    distillation, table = "embeddings.distillation_token", "embeddings.position_embeddings"
    if config.pool == "distilled":
        entries.append(Entry("dist_token", (distillation,), SAME))
    elif config.registers:
        entries.append(Entry("reg_token", (distillation, table), with_their_rows(1, before + config.patches)))
    return entries + positions(config, table, before)


def _biased(given: Given) -> bool:
    """Whether any block has biases for query, key and value; where none has, they are zeros."""
    endings = tuple(f"{_maps(given)[part]}.bias" for part in "qkv")
    return any(name.endswith(endings) for name in given.tensors)


def _block(ours: str, theirs: str, maps: dict[str, str], biased: bool, width: int) -> list[Entry]:
    def three(part: str) -> tuple[str, ...]:
        return tuple(f"{theirs}{maps[letter]}.{part}" for letter in "qkv")

    entries = [*_pair(f"{ours}norm1", f"{theirs}layernorm_before"), *_pair(f"{ours}norm2", f"{theirs}layernorm_after")]
    for name, key in (("attn.proj", "proj"), ("mlp.fc1", "fc1"), ("mlp.fc2", "fc2")):
        entries += _pair(f"{ours}{name}", f"{theirs}{maps[key]}")
    entries.append(Entry(f"{ours}attn.qkv.weight", three("weight"), THIRDS))
    zeros = Entry(f"{ours}attn.qkv.bias", (), constant(lambda: torch.zeros(3 * width)))
    return [*entries, Entry(f"{ours}attn.qkv.bias", three("bias"), THIRDS) if biased else zeros]


def _bit(ours: str) -> str:
    """A name of our stem in a hybrid of `transformers`."""
    name = ours.removeprefix(STEM)
    if name.startswith("stem."):
        return f"{BIT}embedder." + name.removeprefix("stem.").replace("conv.", "convolution.")
    return f"{BIT}encoder." + name.replace(".blocks.", ".layers.")

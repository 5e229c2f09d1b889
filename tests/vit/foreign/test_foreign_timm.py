"""timm's files: the same logits as timm's forward, written out here once more, in every arrangement that its models have."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Checkpoint, Preprocess, ResNetStem
from edgevit.vit.config import config as named_config
from edgevit.vit.foreign.asked import Asked, Resize
from edgevit.vit.foreign.to_timm import written
from edgevit.vit.model import ViT

WIDTH, HEADS, MLP, DEPTH, PATCH, CLASSES = 64, 2, 128, 4, 8, 5
"""The shape of Pico; no published model has it, so that the heads have to be said."""
EXACT = 1e-5
SHARED = Path(__file__).parents[4] / "shared" / "data"

Tensors = dict[str, Tensor]


def _tensors(seed: int = 0, **changes: tuple[int, ...] | None) -> Tensors:
    """Noise by timm's names; `changes` are shapes by a name with _ for its dots, None for a tensor that is not there."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH), "pos_embed": (1, 17, WIDTH), "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,), "norm.weight": (WIDTH,), "norm.bias": (WIDTH,), "head.weight": (CLASSES, WIDTH),
        "head.bias": (CLASSES,),
    }  # fmt: skip
    for n in range(DEPTH):
        for name, shape in (
            ("norm1", (WIDTH,)),
            ("norm2", (WIDTH,)),
            ("attn.qkv", (3 * WIDTH, WIDTH)),
            ("attn.proj", (WIDTH, WIDTH)),
            ("mlp.fc1", (MLP, WIDTH)),
            ("mlp.fc2", (WIDTH, MLP)),
        ):
            shapes |= {f"blocks.{n}.{name}.weight": shape, f"blocks.{n}.{name}.bias": shape[:1]}
    for name, shape in changes.items():
        if shape is None:
            del shapes[name]
        else:
            shapes[name] = shape
    random = torch.Generator().manual_seed(seed)
    noise = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    return {name: 1 + 0.2 * t if "norm" in name and name.endswith("weight") else 0.15 * t for name, t in noise.items()}


def _reference(d: Tensors, images: Tensor, act: str = "none", eps: float = 1e-6) -> Tensor:
    """timm's VisionTransformer: positions for the patches alone (`no_embed_class`) or for all tokens; LayerScale."""
    d = {name: t.double() for name, t in d.items()}
    x = images.double()
    x = F.conv2d(x, d["patch_embed.proj.weight"], d["patch_embed.proj.bias"], d["patch_embed.proj.weight"].shape[-1])
    x = x.flatten(2).transpose(1, 2)
    prefix = [d[name].expand(len(x), -1, -1) for name in ("cls_token", "dist_token", "reg_token") if name in d]
    tokens = sum(p.shape[1] for p in prefix)
    rows = d["pos_embed"].shape[1]
    if rows == x.shape[1]:
        x = torch.cat([*prefix, x + d["pos_embed"]], 1)
    elif rows == x.shape[1] + tokens:
        x = torch.cat([*prefix, x], 1) + d["pos_embed"]
    else:  # the registers alone have no positions
        x = torch.cat([torch.cat([prefix[0], x], 1) + d["pos_embed"], prefix[1]], 1)
    for n in range(DEPTH):
        x = _block({k.removeprefix(f"blocks.{n}."): t for k, t in d.items()}, x, act, eps)
    x = F.layer_norm(x, (WIDTH,), d["norm.weight"], d["norm.bias"], eps)
    if "head_dist.weight" in d:
        return (_linear(d, "head", x[:, 0]) + _linear(d, "head_dist", x[:, 1])) / 2
    return _linear(d, "head", x[:, 0] if "cls_token" in d else x[:, tokens:].mean(1))


def _block(d: Tensors, x: Tensor, act: str, eps: float) -> Tensor:
    y = F.layer_norm(x, (WIDTH,), d["norm1.weight"], d["norm1.bias"], eps)
    q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in _linear(d, "attn.qkv", y).chunk(3, -1))
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS), -1)
    x = x + _linear(d, "attn.proj", (weights @ v).transpose(1, 2).flatten(2)) * d.get("ls1.gamma", torch.ones(1))
    y = F.layer_norm(x, (WIDTH,), d["norm2.weight"], d["norm2.bias"], eps)
    return x + _linear(d, "mlp.fc2", F.gelu(_linear(d, "mlp.fc1", y), approximate=act)) * d.get("ls2.gamma", torch.ones(1))


def _linear(d: Tensors, name: str, x: Tensor) -> Tensor:
    y = x @ d[f"{name}.weight"].T
    return y + d[f"{name}.bias"] if f"{name}.bias" in d else y


@pytest.fixture
def asked(told: Asked, with_labels: Callable[[int], Path]) -> Asked:
    return dataclasses.replace(told, labels=with_labels(CLASSES), heads=HEADS)


def _file(tensors: Tensors, folder: Path) -> Path:
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    return folder / "model.safetensors"


def _agree(expected: Callable[[Tensor], Tensor], taken: Any, size: tuple[int, int] = (32, 32)) -> None:
    images = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        wanted = expected(images)
    assert wanted.std() > 0.05, "logits this flat would agree with anything"
    assert (taken(images) - wanted).abs().max() < EXACT


SCALES = {f"blocks.{n}.ls{i}.gamma": (WIDTH,) for n in range(DEPTH) for i in (1, 2)}
DISTILLED = {
    "dist_token": (1, 1, WIDTH),
    "pos_embed": (1, 18, WIDTH),
    "head_dist.weight": (CLASSES, WIDTH),
    "head_dist.bias": (CLASSES,),
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reg_token": (1, 3, WIDTH), "pos_embed": (1, 16, WIDTH)},
        {"reg_token": (1, 3, WIDTH), "pos_embed": (1, 17, WIDTH)},
        {"reg_token": (1, 3, WIDTH), "pos_embed": (1, 20, WIDTH)},
        {"pos_embed": (1, 16, WIDTH)},
        {"cls_token": None, "pos_embed": (1, 16, WIDTH)},
        {"cls_token": None, "reg_token": (1, 3, WIDTH), "pos_embed": (1, 19, WIDTH)},
        {"cls_token": None, "reg_token": (1, 3, WIDTH), "pos_embed": (1, 16, WIDTH)},
        SCALES,
        {f"blocks.{n}.attn.qkv.bias": None for n in range(DEPTH)},
        DISTILLED,
    ],
    ids=[
        "plain",
        "registers, no_embed_class",
        "registers without positions",
        "registers with positions",
        "no_embed_class",
        "mean",
        "mean, registers with positions",
        "mean, registers",
        "LayerScale",
        "no qkv bias",
        "distilled",
    ],
)
def test_arrangements(changes: dict[str, Any], asked: Asked, take: Any, tmp_path: Path) -> None:
    tensors = _tensors(**changes)
    _agree(lambda images: _reference(tensors, images), take(_file(tensors, tmp_path), asked))


def test_encoder_alone(told: Asked, take: Any, tmp_path: Path) -> None:
    taken = take(_file(_tensors(**{"head.weight": None, "head.bias": None}), tmp_path), dataclasses.replace(told, heads=HEADS))
    assert (taken.settled.config.classes, taken.settled.labels) == (0, ())


def test_old_representation_layer(asked: Asked, take: Any, tmp_path: Path) -> None:
    changes = {"pre_logits.fc.weight": (24, WIDTH), "pre_logits.fc.bias": (24,), "head.weight": (CLASSES, 24)}
    assert take(_file(_tensors(**changes), tmp_path), asked).settled.config.representation == 24


def test_a_file_with_no_positions(asked: Asked, take: Any, tmp_path: Path) -> None:
    tensors = _tensors(pos_embed=None)
    with pytest.raises(BadInput, match=r"does not say its image size, positions$"):
        take(_file(tensors, tmp_path), asked)
    taken = take(tmp_path / "model.safetensors", dataclasses.replace(asked, image_size=(32, 32), positions="none"))
    _agree(lambda images: _reference({**tensors, "pos_embed": torch.zeros(1, 17, WIDTH)}, images), taken)


def test_all_that_a_bare_file_leaves_open(take: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"does not say its mean, std, resize, interpolation, labels, heads$") as caught:
        take(_file(_tensors(), tmp_path))
    assert all(option in caught.value.hint for option in ("--mean 0.485", "--std", "--resize 256", "--interpolation", "--labels"))


@pytest.mark.parametrize(
    ("name", "shape", "words", "hint"),
    [
        ("fc_norm.weight", (WIDTH,), "unexpected tensor: fc_norm.weight", "a norm after the pooling"),
        ("norm_pre.weight", (WIDTH,), "unexpected tensor: norm_pre.weight", "before the first block"),
        ("blocks.0.attn.q_norm.weight", (WIDTH,), "unexpected tensor: blocks.0.attn.q_norm", "norms of queries"),
        ("attn_pool.latent", (1, 1, WIDTH), "unexpected tensor: attn_pool.latent", "attention pooling"),
        ("blocks.9.norm1.weight", (WIDTH,), "missing tensor: all of blocks.4", "cut or altered"),
        ("blocks.1.ls1.gamma", (WIDTH + 1,), r"blocks.1.ls1.gamma has shape \(65,\), expected \(64,\)", ""),
        ("pos_embed", (1, 23, WIDTH), "does not say its image size$", "--image-size"),
        ("pos_embed", (1, 17, WIDTH - 1), r"pos_embed has shape \(1, 17, 63\), expected \(1, 17, 64\)", ""),
        ("pos_embed", (1, 4, 4, WIDTH), "pos_embed has shape .* expected 3 sizes", ""),
        ("patch_embed.proj.weight", (WIDTH, 3, PATCH, 2 * PATCH), "patches of 8x16", ""),
        ("patch_embed.backbone.stem.conv.weight", (WIDTH, 3, 7, 7), "a stem has 1 to 4 stages", ""),
    ],
)  # fmt: skip
def test_tensors_that_are_not_ours(
    name: str, shape: tuple[int, ...], words: str, hint: str, asked: Asked, take: Any, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        take(_file(_tensors(**{name: shape}), tmp_path), asked)
    assert hint in caught.value.hint


def test_a_million_blocks_are_refused_at_once(asked: Asked, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is made only once the file has a name for all of it, and not for more blocks than any ViT has."""
    from edgevit.vit.foreign import layout

    monkeypatch.setattr(layout, "shapes", lambda config: pytest.fail("a model was made"))
    for count, words in ((2000, "2000 of blocks., and no more than 1024 are read"), (500, "missing tensor: blocks.")):
        blocks = {f"blocks.{n}.norm1.weight": torch.ones(WIDTH) for n in range(count)}
        with pytest.raises(DamagedFile, match=words):
            take(_file({**_tensors(), **blocks}, tmp_path), asked)


# Attention heads, which no tensor shows.


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A file of the shape of the published Ti/16."""
    model = ViT(named_config("Ti/16", (32, 32), CLASSES))
    safetensors.torch.save_file(model.state_dict(), tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_heads_of_a_published_shape_are_recorded(tiny: Path, asked: Asked, take: Any) -> None:
    settled = take(tiny, dataclasses.replace(asked, heads=None)).settled
    assert settled.config.heads == 3 and settled.config.variant == "Ti/16"
    assert "3 heads, as the published Ti" in settled.source


def test_heads_that_are_said_win(tiny: Path, asked: Asked, take: Any) -> None:
    """MoCo v3's ViT-S is one of the published shape with other heads."""
    for model in (None, "Ti/16"):
        settled = take(tiny, dataclasses.replace(asked, heads=12, model=model)).settled
        assert settled.config.heads == 12 and settled.config.variant == "192x12x12x768/16"
        assert "--heads 12" in settled.source and "published" not in settled.source
    settled = take(tiny, dataclasses.replace(asked, heads=None, model="Ti/16")).settled
    assert settled.config.heads == 3 and "published" not in settled.source


def test_toys_of_ours_are_no_published_shape(asked: Asked, take: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"does not say its heads$") as caught:
        take(_file(_tensors(), tmp_path), dataclasses.replace(asked, heads=None))
    assert "--heads 12" in caught.value.hint
    with pytest.raises(BadInput, match="5 heads do not divide width 64") as caught:
        take(tmp_path / "model.safetensors", dataclasses.replace(asked, heads=5))
    assert "--heads" in caught.value.hint


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("Pico/4", "--model Pico/4 has patch 4, but the weights have 8"),
        ("Nano/8", "--model Nano/8 has width 96, but the weights have 64"),
        ("R8+Nano/8", "--model R8.Nano/8 has ResNet units 1,1, but the weights have none"),
        ("Pico/99", "unknown model: Pico/99"),
    ],
)
def test_a_model_of_another_shape(model: str, words: str, asked: Asked, take: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        take(_file(_tensors(), tmp_path), dataclasses.replace(asked, model=model))


def test_the_patch_of_the_model_is_compared_before_the_image(asked: Asked, take: Any, tmp_path: Path) -> None:
    tensors = _tensors(**{"patch_embed.proj.weight": (WIDTH, 3, 7, 7)})
    with pytest.raises(BadInput, match="--model Pico/8 has patch 8, but the weights have 7"):
        take(_file(tensors, tmp_path), dataclasses.replace(asked, model="Pico/8"))


def test_positions_that_the_file_holds_are_not_to_be_said(asked: Asked, take: Any, tmp_path: Path) -> None:
    for positions in ("sincos", "none"):
        with pytest.raises(BadInput, match=f"holds position embeddings, so that --positions {positions} says nothing"):
            take(_file(_tensors(), tmp_path), dataclasses.replace(asked, positions=positions))


# A folder of the Hub, with timm's config.json.

CONFIG: dict[str, Any] = {
    "architecture": "vit_tiny_patch16_224", "num_classes": CLASSES, "num_features": WIDTH, "global_pool": "token",
    "label_names": ["a", "b", "c", "d", "e"], "model_args": {"num_heads": HEADS},
    "pretrained_cfg": {"input_size": [3, 32, 32], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
                       "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": CLASSES, "classifier": "head"},
}  # fmt: skip


def _folder(tensors: Tensors, folder: Path, **changes: Any) -> Path:
    """`changes` of config.json; those that start with `cfg_` are of its pretrained_cfg."""
    inner = {**CONFIG["pretrained_cfg"], **{k.removeprefix("cfg_"): v for k, v in changes.items() if k.startswith("cfg_")}}
    outer = {**CONFIG, **{k: v for k, v in changes.items() if not k.startswith("cfg_")}}
    _file(tensors, folder)
    arguments = changes.get("model_args", {})
    outer["model_args"] = arguments if arguments is None else {**CONFIG["model_args"], **arguments}
    outer["pretrained_cfg"] = changes.get("pretrained_cfg", inner)
    (folder / "config.json").write_text(json.dumps(outer))
    return folder


def test_hub_folder(take: Any, tmp_path: Path) -> None:
    tensors = _tensors()
    taken = take(_folder(tensors, tmp_path))
    _agree(lambda images: _reference(tensors, images), taken)
    assert taken.settled.labels == ("a", "b", "c", "d", "e")
    expected = Preprocess((35, 35), (32, 32), "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert taken.settled.preprocess == expected, "0.9 of 35 is the 32 that the model takes, rounded as timm does"


def test_old_config_without_pretrained_cfg(take: Any, tmp_path: Path) -> None:
    _folder(_tensors(), tmp_path)
    outer = {k: v for k, v in CONFIG.items() if k != "pretrained_cfg"}
    (tmp_path / "config.json").write_text(json.dumps({**outer, **CONFIG["pretrained_cfg"]}))
    assert take(tmp_path).settled.preprocess.resize == (35, 35)


@pytest.mark.parametrize(
    ("changes", "resize", "aspect"),
    [({"cfg_crop_pct": 1.0}, (32, 32), "keep"), ({"cfg_crop_mode": "squash", "cfg_crop_pct": 1.0}, (32, 32), "squash")],
)
def test_crops(changes: dict[str, Any], resize: tuple[int, int], aspect: str, take: Any, tmp_path: Path) -> None:
    preprocess = take(_folder(_tensors(), tmp_path, **changes)).settled.preprocess
    assert (preprocess.resize, preprocess.aspect) == (resize, aspect)


def test_activation_and_heads_of_model_args(take: Any, tmp_path: Path) -> None:
    tensors = _tensors()
    taken = take(
        _folder(tensors, tmp_path, model_args={"act_layer": "gelu_tanh", "num_heads": 2, "embed_dim": WIDTH, "img_size": 32})
    )
    _agree(lambda images: _reference(tensors, images, "tanh"), taken)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_classes": 7}, "num_classes in config.json is 7, but the weights have 5"),
        ({"label_names": ["a", "b"]}, "names 2 classes, but the head of .* has 5"),
        ({"label_names": None}, "does not say its labels$"),
        ({"global_pool": "avg"}, "global_pool in config.json is mean, but the weights have cls"),
        ({"cfg_input_size": [3, 64, 64]}, "64 at patch 8 has 64 patches, but its position embeddings have 17 rows"),
        ({"cfg_input_size": [3, 36, 36]}, "does not divide image size 36"),
        ({"cfg_crop_mode": "border"}, "does not say its resize$"),
        ({"cfg_crop_pct": None, "cfg_mean": None}, "does not say its mean, resize$"),
        ({"cfg_interpolation": "box"}, "does not say its interpolation$"),
        ({"cfg_std": [0, 0, 0]}, "std must be positive"),
        ({"model_args": {"embed_dim": 192}}, "embed_dim in config.json is 192, but the weights have 64"),
        ({"model_args": {"patch_size": 16}}, "patch_size in config.json is 16, but the weights have 8"),
        ({"model_args": {"act_layer": "quick_gelu"}}, "its activation is quick_gelu"),
        ({"model_args": {"num_heads": 7}}, "7 heads do not divide width 64"),
        ({"architecture": "vit_base_patch32_clip_quickgelu_224"}, "the activation of timm's vit_base_patch32_clip_quickgelu_224"),
        ({"cfg_mean": "0.5"}, "mean"),
        ({"cfg_crop_pct": 1e-320}, "does not say its resize$"),
        ({"cfg_crop_pct": 0.009}, "does not say its resize$"),
        ({"cfg_input_size": [3, 10**400, 10**400]}, "input_size in config.json is no size of an image"),
        ({"cfg_input_size": [3, 0, 32]}, "input_size in config.json is no size of an image"),
        ({"model_args": {"img_size": 10**400 + 1}}, "img_size of model_args in config.json is no size of an image"),
        ({"global_pool": "max"}, "global_pool in config.json is 'max'"),
        ({"global_pool": "avgmax"}, "global_pool in config.json is 'avgmax'"),
        ({"global_pool": "map"}, "global_pool in config.json is 'map'"),
        ({"global_pool": ""}, "global_pool in config.json is ''"),
        ({"model_args": {"global_pool": "avg"}}, "global_pool in config.json is mean, but the weights have cls"),
        ({"model_args": {"global_pool": "lse"}}, "global_pool in config.json is 'lse'"),
        ({"model_args": {"reg_tokens": 4}}, "reg_tokens of model_args in config.json gives 4, but the weights have 0"),
        ({"model_args": {"class_token": False}}, "class_token of model_args in config.json gives False"),
        ({"model_args": {"mlp_ratio": 4}}, "mlp_ratio of model_args in config.json gives 256, but the weights have 128"),
        ({"model_args": {"mlp_ratio": 1e308}}, "mlp_ratio of model_args in config.json gives"),
        ({"model_args": {"pos_embed": "none"}}, "pos_embed of model_args in config.json gives none, but the weights have learn"),
        ({"model_args": {"no_embed_class": True}}, "32 at patch 8 has 16 patches, but its position embeddings have 17 rows"),
        ({"model_args": {"init_values": 1e-5}}, "LayerScale .init_values. of model_args in config.json gives True"),
        ({"model_args": {"qkv_bias": False}}, "qkv_bias of model_args in config.json is false, but the weights have blocks.0"),
        ({"model_args": {"num_classes": 7}}, "num_classes in config.json is 7, but the weights have 5"),
        ({"model_args": {"norm_layer": "rmsnorm"}}, "norm_layer of model_args in config.json is rmsnorm"),
        ({"model_args": {"qk_norm": True}}, "qk_norm of model_args in config.json is True"),
        ({"model_args": {"pre_norm": True}}, "pre_norm of model_args in config.json is True"),
        ({"model_args": {"pool_include_prefix": True}}, "pool_include_prefix of model_args in config.json is True"),
        ({"model_args": {"a_new_one": 3}}, "a_new_one of model_args in config.json is 3"),
        ({"label_names": {"0": "a", "2": "b"}}, "label_names in config.json does not number the classes from 0"),
        ({"architecture": "", "pretrained_cfg": None, "model_type": "vit"}, "its config.json is not timm's, but that of a vit"),
    ],
    ids=lambda value: str(value)[:70],
)
def test_contradictions(changes: dict[str, Any], words: str, take: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        take(_folder(_tensors(), tmp_path, **changes))


def test_biases_that_the_config_says_and_the_file_lacks(take: Any, tmp_path: Path) -> None:
    tensors = _tensors(**{f"blocks.{n}.attn.qkv.bias": None for n in range(DEPTH)})
    with pytest.raises(DamagedFile, match=r"missing tensor: blocks.0.attn.qkv.bias, blocks.1.attn"):
        take(_folder(tensors, tmp_path, model_args={"qkv_bias": True}))
    for said in (False, None):
        taken = take(_folder(tensors, tmp_path, model_args={"qkv_bias": said}))
        _agree(lambda images: _reference(tensors, images), taken)


@pytest.mark.parametrize(
    "changes",
    [
        {"label_names": {str(n): name for n, name in enumerate("abcde")}},
        {"cfg_crop_mode": None},
        {"global_pool": None},
        {"global_pool": "max", "model_args": {"global_pool": "token"}},
        {"model_args": {"drop_path_rate": 0.1, "norm_layer": None, "qk_norm": False, "class_token": True, "mlp_ratio": 2.0}},
        {"model_args": {"no_embed_class": False, "reg_tokens": 0, "pos_embed": "learn", "qkv_bias": True}},
    ],
    ids=lambda value: str(value)[:70],
)
def test_configs_that_say_the_usual(changes: dict[str, Any], take: Any, tmp_path: Path) -> None:
    tensors = _tensors()
    taken = take(_folder(tensors, tmp_path, **changes))
    _agree(lambda images: _reference(tensors, images), taken)
    assert taken.settled.labels == ("a", "b", "c", "d", "e") and taken.settled.preprocess.aspect == "keep"


def test_no_arguments(take: Any, tmp_path: Path) -> None:
    assert take(_folder(_tensors(), tmp_path, model_args=None), Asked(heads=HEADS)).settled.config.heads == HEADS


def test_the_config_beside_a_file_is_read(take: Any, tmp_path: Path) -> None:
    tensors = _tensors()
    folder = _folder(tensors, tmp_path, model_args={"act_layer": "gelu_tanh"})
    taken = take(folder / "model.safetensors")
    _agree(lambda images: _reference(tensors, images, "tanh"), taken)
    assert "with the config.json beside it" in taken.settled.source


def test_the_hint_blames_no_version_of_edgevit(take: Any, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"config.json") as caught:
        take(_folder(_tensors(), tmp_path, num_classes="five"))
    assert "version of edgevit" not in caught.value.hint and caught.value.hint


def test_broken_config(take: Any, tmp_path: Path) -> None:
    _folder(_tensors(), tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": ')
    with pytest.raises(DamagedFile, match=r"config.json"):
        take(tmp_path)


def test_an_option_wins_and_is_recorded(take: Any, tmp_path: Path) -> None:
    settled = take(_folder(_tensors(), tmp_path), Asked(mean=(0.5,) * 3, interpolation="bilinear")).settled
    assert (settled.preprocess.mean, settled.preprocess.std) == ((0.5,) * 3, (0.229, 0.224, 0.225))
    assert "--mean 0.5,0.5,0.5, where the file says 0.485,0.456,0.406" in settled.source
    assert "--interpolation bilinear, where the file says bicubic" in settled.source


def test_heads_of_the_model_that_was_asked_for(take: Any, tmp_path: Path) -> None:
    settled = take(_folder(_tensors(), tmp_path, model_args={"num_heads": 4}), Asked(model="Pico/8")).settled
    assert settled.config.heads == 2 and "--model Pico/8, where the file says 4 heads" in settled.source


# And back again.


def _handed_on(model: ViT, preprocess: Preprocess, folder: Path) -> tuple[Path, Any]:
    folder.mkdir()
    labels = tuple(f"thing {n}" for n in range(model.config.classes))
    found = written(model, Checkpoint(model.config, preprocess, labels, {}, "", {}))
    safetensors.torch.save_file({name: t.contiguous() for name, t in found.tensors.items()}, folder / "model.safetensors")
    for name, value in found.files.items():
        (folder / name).write_text(json.dumps(value))
    return folder, found


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"pool": "mean"},
        {"pool": "distilled"},
        {"registers": 3},
        {"pool": "mean", "registers": 2},
        {"gelu": "tanh"},
        {"positions": "sincos"},
        {"positions": "2d", "registers": 2},
        {"positions": "none"},
        {"image_size": (32, 48)},
        {"classes": 0},
        {"norm_eps": 1e-12},
        {"mlp": 100, "heads": 4},
    ],
    ids=lambda value: str(value)[:70],
)
def test_written_and_read_again(change: dict[str, Any], shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    config = dataclasses.replace(named_config("Pico/8", (32, 32), CLASSES), **change)
    ours = shuffle(ViT(config))
    preprocess = Preprocess(tuple(side * 9 // 8 for side in config.image_size), config.image_size, "bilinear", aspect="squash")  # type: ignore[arg-type]
    folder, found = _handed_on(ours, preprocess, tmp_path / "out")
    taken = take(folder)
    _agree(ours, taken, config.image_size)
    settled = taken.settled
    assert (settled.preprocess, len(settled.labels)) == (preprocess, config.classes)
    assert settled.config == dataclasses.replace(config, positions="1d", variant=settled.config.variant)
    assert bool(found.notes) == bool({"positions", "norm_eps"} & change.keys())


def test_written_tensors_are_timms(shuffle: Callable[..., Any], tmp_path: Path) -> None:
    """What we write, read by timm's forward rather than by our own reader."""
    config = dataclasses.replace(named_config("Pico/8", (32, 32), CLASSES), registers=3, positions="2d")
    ours = shuffle(ViT(config))
    folder, _ = _handed_on(ours, Preprocess((32, 32), (32, 32)), tmp_path / "out")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert (_reference(tensors, images) - ours(images)).abs().max() < EXACT


STEM = ResNetStem((3, 4, 9), 64, 1e-5)


def test_hybrid_is_that_of_bit(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    """R50+ViT by timm's names, its ResNet computed by `transformers`' BiT, which has the same constants; and back again."""
    transformers = pytest.importorskip("transformers", reason="transformers is a test's reference alone")
    bit = transformers.BitConfig(
        depths=[3, 4, 9], hidden_sizes=[256, 512, 1024], embedding_size=64, layer_type="bottleneck", global_padding="SAME",
        embedding_dynamic_padding=True, out_features=["stage3"],
    )  # fmt: skip
    backbone = shuffle(transformers.BitBackbone(bit))
    with torch.no_grad():  # 16 units of noise as loud as their shortcuts make 3e-4 of float32's own rounding, in BiT by itself
        for name, parameter in backbone.named_parameters():
            parameter *= 0.2 if ".norm3." in name else 1
    tensors = _tensors(**{"patch_embed.proj.weight": (WIDTH, 1024, 1, 1), "pos_embed": (1, 5, WIDTH)})
    for name, tensor in backbone.state_dict().items():
        ours = (
            name.removeprefix("bit.")
            .removeprefix("encoder.")
            .replace("embedder.convolution", "stem.conv")
            .replace("embedder", "stem")
        )
        tensors[f"patch_embed.backbone.{ours.replace('.layers.', '.blocks.')}"] = tensor.contiguous()
    asked = Asked((0.5,) * 3, (0.5,) * 3, Resize((32, 32), "squash"), "bicubic", _labels(tmp_path), heads=HEADS)
    taken = take(_file(tensors, tmp_path), asked)
    assert taken.settled.config.stem == STEM and taken.settled.config.patch == 16

    def expected(images: Tensor) -> Tensor:
        return _reference(tensors, backbone(images).feature_maps[0])

    _agree(expected, taken)
    with pytest.raises(BadInput, match="--model Pico/16 has ResNet units none, but the weights have 3,4,9"):
        take(tmp_path / "model.safetensors", dataclasses.replace(asked, model="Pico/16"))
    folder, found = _handed_on(taken.model, taken.settled.preprocess, tmp_path / "out")
    stem = "patch_embed.backbone.stages.1.blocks.0.conv2.weight"
    assert found.notes == () and torch.allclose(found.tensors[stem], tensors[stem], rtol=1e-6)
    _agree(expected, take(folder))
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, "edgevit": {"stem_norm_eps": -1}}))
    with pytest.raises(DamagedFile, match="its GroupNorms would add -1"):
        take(folder)


def _labels(folder: Path) -> Path:
    (folder / "labels.json").write_text(json.dumps({str(n): f"thing {n}" for n in range(CLASSES)}))
    return folder / "labels.json"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positions": "relative"}, "relative positions have no name"),
        ({"representation": 16}, "no representation layer"),
        ({"stem": ResNetStem((1, 1), 16)}, "no ResNet of this shape"),
        ({"pool": "distilled", "registers": 2}, "no registers beside a distillation token"),
        ({"pool": "distilled", "patch": 16, "stem": ResNetStem((3, 4, 9))}, "no ResNet before a distillation token"),
    ],
)
def test_what_timm_lacks_is_refused(change: dict[str, Any], words: str) -> None:
    model = ViT(dataclasses.replace(named_config("Pico/8", (32, 32), 5), **change))
    with pytest.raises(BadInput, match=words):
        written(model, Checkpoint(model.config, Preprocess((32, 32), (32, 32)), tuple("abcde"), {}, "", {}))


@pytest.mark.parametrize("resize", [32, 33, 35, 36, 37, 41, 48, 256])
def test_the_share_that_is_cut_out_says_the_size(resize: int, take: Any, tmp_path: Path) -> None:
    preprocess = Preprocess((resize, resize), (32, 32))
    assert (
        take(_handed_on(ViT(named_config("Pico/8", (32, 32), 5)), preprocess, tmp_path / "out")[0]).settled.preprocess
        == preprocess
    )


def test_a_resize_that_no_share_says_is_refused() -> None:
    model = ViT(named_config("Pico/8", (32, 48), 5))
    with pytest.raises(BadInput, match="timm's config cannot say a resize"):
        written(model, Checkpoint(model.config, Preprocess((48, 48), (32, 48)), tuple("abcde"), {}, "", {}))


def test_names_are_those_of_a_published_file(shuffle: Callable[..., Any]) -> None:
    file = SHARED / "weights" / "deit-tiny-patch16-224" / "model.safetensors"
    if not file.is_file():
        pytest.skip(f"no {file}")
    published = {name: tuple(t.shape) for name, t in safetensors.torch.load_file(file).items()}
    model = ViT(named_config("Ti/16", (224, 224), 1000))
    found = written(model, Checkpoint(model.config, Preprocess((256, 256), (224, 224)), tuple(map(str, range(1000))), {}, "", {}))
    assert {name: tuple(t.shape) for name, t in found.tensors.items()} == published

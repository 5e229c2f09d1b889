"""Models of `transformers`: the same logits as its own, from its own files, and back again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Preprocess
from edgevit.vit.foreign.asked import Asked, Resize

transformers = pytest.importorskip("transformers", reason="transformers is a test's reference alone")

SHAPE: dict[str, Any] = dict(
    hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=80, image_size=32, patch_size=8,
    id2label={0: "cat", 1: "dog", 2: "crane", 3: "crane"}, layer_norm_eps=1e-12,
)  # fmt: skip
VIT_PIXELS = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
EXACT = 1e-5


def _saved(model: Any, folder: Path, pixels: dict[str, Any] | None = None) -> Path:
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels or VIT_PIXELS))
    return folder


def _difference(model: Any, taken: Any, size: tuple[int, int] = (32, 32)) -> float:
    images = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model(images).logits
    assert expected.std() > 0.05, "logits this flat would agree with anything"
    return float((taken(images) - expected).abs().max())


@pytest.fixture
def vit(shuffle: Callable[..., Any], tmp_path: Path) -> tuple[Any, Path]:
    model = shuffle(transformers.ViTForImageClassification(transformers.ViTConfig(**SHAPE)))
    return model, _saved(model, tmp_path / "vit")


def test_vit(vit: tuple[Any, Path], take: Any) -> None:
    taken = take(vit[1])
    assert _difference(vit[0], taken) < EXACT
    settled = taken.settled
    assert settled.config.heads == 4 and settled.config.norm_eps == 1e-12 and settled.config.image_size == (32, 32)
    assert settled.labels == ("cat", "dog", "crane", "crane")
    assert settled.preprocess == Preprocess((32, 32), (32, 32), "bilinear", (0.5,) * 3, (0.5,) * 3, "squash")


@pytest.mark.parametrize("old", [True, False], ids=["old names", "new names"])
def test_both_namings(old: bool, vit: tuple[Any, Path], take: Any) -> None:
    """Files of transformers 5 may hold either, by `save_original_format`."""
    vit[0].save_pretrained(vit[1], save_original_format=old)
    names = safetensors.torch.load_file(vit[1] / "model.safetensors").keys()
    assert any("encoder.layer." in name for name in names) == old
    assert _difference(vit[0], take(vit[1])) < EXACT


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "gelu_pytorch_tanh"},
        {"hidden_act": "gelu_new"},
        {"qkv_bias": False},
        {"image_size": [32, 48]},
        {"layer_norm_eps": 1e-5},
    ],
    ids=lambda value: str(value)[:70],
)
def test_what_the_config_says(change: dict[str, Any], shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    model = shuffle(transformers.ViTForImageClassification(transformers.ViTConfig(**{**SHAPE, **change})))
    height, width = size = tuple(change.get("image_size", (32, 32)))
    pixels = {**VIT_PIXELS, "size": {"height": height, "width": width}}
    assert _difference(model, take(_saved(model, tmp_path / "m", pixels)), size) < EXACT


def test_gelu_matters(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    """Were the activation overlooked, the test above would have to fail: here it is, by force."""
    model = shuffle(transformers.ViTForImageClassification(transformers.ViTConfig(**{**SHAPE, "hidden_act": "gelu_new"})))
    folder = _saved(model, tmp_path / "m")
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, "hidden_act": "gelu"}))
    assert _difference(model, take(folder)) > EXACT


def test_deit_without_teacher(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    """Its distillation token takes part in the attention, and no head reads it."""
    model = shuffle(transformers.DeiTForImageClassification(transformers.DeiTConfig(**SHAPE)))
    taken = take(_saved(model, tmp_path / "deit"))
    assert _difference(model, taken) < EXACT
    assert taken.settled.config.pool == "cls" and taken.settled.config.registers == 1


def test_deit_with_teacher(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    model = shuffle(transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**SHAPE)))
    taken = take(_saved(model, tmp_path / "deit"))
    assert _difference(model, taken) < EXACT
    assert taken.settled.config.pool == "distilled"


def _first_token(model: Any, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(images).last_hidden_state[:, 0]


def test_deit_without_teacher_and_without_its_head(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    model = shuffle(transformers.DeiTForImageClassification(transformers.DeiTConfig(**SHAPE)))
    taken = take(_saved(model, tmp_path / "deit"), Asked(headless=True))
    images = torch.randn(2, 3, 32, 32)
    assert (taken(images) - _first_token(model.deit, images)).abs().max() < EXACT
    assert taken.settled.config.pool == "cls" and taken.settled.config.registers == 1 and taken.settled.config.classes == 0


def test_deit_with_teacher_and_without_its_heads(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    """Both of the tokens that its heads read are there to train heads on."""
    model = shuffle(transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**SHAPE)))
    taken = take(_saved(model, tmp_path / "deit"), Asked(headless=True))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        first, second = taken.model.answers(*taken.model.encode(taken.model.embed(taken.model.patch_embed(images))))
        expected = model.deit(images).last_hidden_state
    assert taken.settled.config.pool == "distilled" and taken.settled.config.classes == 0
    assert (first - expected[:, 0]).abs().max() < EXACT and (second - expected[:, 1]).abs().max() < EXACT


def test_deit_encoder_without_pooler(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    shape = {k: v for k, v in SHAPE.items() if k != "id2label"}
    model = shuffle(transformers.DeiTModel(transformers.DeiTConfig(**shape), add_pooling_layer=False))
    taken = take(_saved(model, tmp_path / "deit"))
    images = torch.randn(2, 3, 32, 32)
    assert (taken(images) - _first_token(model, images)).abs().max() < EXACT


@pytest.mark.parametrize("kind", ["ViT", "DeiT"])
def test_encoder_alone_has_its_pooler(kind: str, shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    """What Google's in21k files are: the pooler is the paper's representation layer."""
    shape = {k: v for k, v in SHAPE.items() if k != "id2label"}
    model = shuffle(getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**shape, pooler_output_size=24)))
    taken = take(_saved(model, tmp_path / "m"))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert (taken(images) - model(images).pooler_output).abs().max() < EXACT
    assert (taken.settled.config.classes, taken.settled.labels, taken.settled.config.representation) == (0, (), 24)


def test_head_left_off(vit: tuple[Any, Path], take: Any) -> None:
    taken = take(vit[1], Asked(headless=True))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert (taken(images) - vit[0].vit(images).last_hidden_state[:, 0]).abs().max() < EXACT
    assert taken.settled.labels == () and "--headless" in taken.settled.source


def test_what_nothing_reads_is_left_out_and_named(vit: tuple[Any, Path], take: Any) -> None:
    file = vit[1] / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    safetensors.torch.save_file({**tensors, "vit.pooler.dense.weight": torch.zeros(48, 48)}, file)
    taken = take(vit[1])
    assert _difference(vit[0], taken) < EXACT
    assert "left out pooler.dense.weight" in taken.settled.source


def test_sharded(vit: tuple[Any, Path], take: Any) -> None:
    (vit[1] / "model.safetensors").unlink()
    vit[0].save_pretrained(vit[1], max_shard_size="50KB")
    assert (vit[1] / "model.safetensors.index.json").is_file()
    assert _difference(vit[0], take(vit[1])) < EXACT


def test_shard_elsewhere_is_refused(vit: tuple[Any, Path], take: Any, tmp_path: Path) -> None:
    (vit[1] / "model.safetensors").rename(tmp_path / "secret.safetensors")
    (vit[1] / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "../secret.safetensors"}}))
    with pytest.raises(DamagedFile, match=r"no such file beside it: \.\./secret"):
        take(vit[1])


def test_pickle_of_tensors(vit: tuple[Any, Path], take: Any) -> None:
    (vit[1] / "model.safetensors").rename(vit[1] / "was")
    torch.save(vit[0].state_dict(), vit[1] / "pytorch_model.bin")
    assert _difference(vit[0], take(vit[1])) < EXACT


# The hybrid is gone from transformers: its ResNet (BiT) and its encoder are still there, and are put together here.


class _Hybrid(torch.nn.Module):
    """ViTHybridForImageClassification as it was: the feature map of BiT, flattened and projected, as the patches of a ViT."""

    def __init__(self, backbone: Any, vit: Any) -> None:
        super().__init__()
        self.backbone, self.vit = backbone, vit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        (features,) = self.backbone(images).feature_maps
        return self.vit(features).logits


BIT: dict[str, Any] = dict(
    embedding_size=32, hidden_sizes=[128, 256], depths=[1, 2], layer_type="bottleneck", global_padding="SAME",
    embedding_dynamic_padding=True, num_groups=32, out_features=["stage2"],
)  # fmt: skip


@pytest.fixture
def hybrid(shuffle: Callable[..., Any], tmp_path: Path) -> tuple[Any, Path]:
    """A hybrid of 32x48 pixels, its ResNet of stride 8, and its folder with the names that those files have."""
    bit = transformers.BitConfig(**BIT)
    encoder = transformers.ViTConfig(**{**SHAPE, "image_size": [4, 6], "patch_size": 1, "num_channels": 256})
    model = _Hybrid(shuffle(transformers.BitBackbone(bit)), shuffle(transformers.ViTForImageClassification(encoder), 1))
    folder = tmp_path / "hybrid"
    model.vit.save_pretrained(folder)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    place = "vit.embeddings.patch_embeddings.backbone."
    tensors |= {f"{place}{name}": t.contiguous() for name, t in model.backbone.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    told = json.loads((folder / "config.json").read_text())
    told |= {
        "model_type": "vit-hybrid",
        "image_size": [32, 48],
        "num_channels": 3,
        "backbone_config": {"model_type": "bit", **BIT},
    }
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "preprocessor_config.json").write_text(json.dumps({**VIT_PIXELS, "size": {"height": 32, "width": 48}}))
    return model, folder


def test_hybrid(hybrid: tuple[Any, Path], take: Any) -> None:
    model, folder = hybrid
    taken = take(folder)
    assert taken.settled.config.stem.layers == (1, 2) and taken.settled.config.patch == 8
    images = torch.randn(2, 3, 32, 48)
    with torch.inference_mode():
        expected = model(images)
        features = model.backbone(images).feature_maps[0]
        assert torch.allclose(taken.model.patch_embed.backbone(images), features, atol=5e-5), "features of up to ten, in float32"
    assert expected.std() > 0.05 and (taken(images) - expected).abs().max() < EXACT


def test_other_resnets_are_refused(hybrid: tuple[Any, Path], take: Any) -> None:
    told = json.loads((hybrid[1] / "config.json").read_text())
    told["backbone_config"]["layer_type"] = "preactivation"
    (hybrid[1] / "config.json").write_text(json.dumps(told))
    with pytest.raises(BadInput, match=r"backbone_config in config.json is not that of the paper's hybrid"):
        take(hybrid[1])


# What preprocessor_config.json says, in all its forms.


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (
            {"feature_extractor_type": "ViTFeatureExtractor", "size": 32, "resample": 3},
            Preprocess((32, 32), (32, 32), aspect="squash"),
        ),
        (
            {
                "feature_extractor_type": "DeiTFeatureExtractor",
                "size": 40,
                "crop_size": 32,
                "do_center_crop": True,
                "resample": 3,
            },
            Preprocess((40, 40), (32, 32), aspect="squash"),
        ),
        (
            {
                "image_processor_type": "ViTHybridImageProcessor",
                "size": {"shortest_edge": 36},
                "crop_size": {"height": 32, "width": 32},
                "do_center_crop": True,
                "resample": 1,
            },
            Preprocess((36, 36), (32, 32), "lanczos"),
        ),
        (
            {"image_processor_type": "BitImageProcessor", "size": 36, "crop_size": 32, "resample": 0},
            Preprocess((36, 36), (32, 32), "nearest"),
        ),
        (
            {
                "image_processor_type": "ViTImageProcessorFast",
                "size": {"height": 32, "width": 32},
                "resample": 3,
                "do_center_crop": None,
                "crop_size": None,
                "do_normalize": False,
            },
            Preprocess((32, 32), (32, 32), mean=(0, 0, 0), std=(1, 1, 1), aspect="squash"),
        ),
    ],
    ids=["old ViT", "old DeiT", "hybrid", "BiT", "fast, not normalised"],
)
def test_pixels(pixels: dict[str, Any], expected: Preprocess, vit: tuple[Any, Path], take: Any) -> None:
    told = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **pixels}
    (vit[1] / "preprocessor_config.json").write_text(json.dumps(told))
    assert take(vit[1]).settled.preprocess == expected


@pytest.mark.parametrize("kind", ["ConvNextImageProcessor", "SegformerFeatureExtractor", "SiglipImageProcessor", None])
def test_sizes_of_other_processors_have_to_be_said(kind: str | None, vit: tuple[Any, Path], take: Any) -> None:
    """ConvNext's, for one, resizes to its size over crop_pct."""
    told = {**VIT_PIXELS, "image_processor_type": kind, "crop_pct": 0.875}
    (vit[1] / "preprocessor_config.json").write_text(json.dumps(told))
    with pytest.raises(BadInput, match=r"does not say its resize$"):
        take(vit[1])
    settled = take(vit[1], Asked(resize=Resize((36, 36), "keep"))).settled
    assert settled.preprocess == Preprocess((36, 36), (32, 32), "bilinear", (0.5,) * 3, (0.5,) * 3, "keep")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crop_pct": 0.9}, "crop_pct in preprocessor_config.json changes the pixels"),
        ({"do_pad": True}, "do_pad in preprocessor_config.json changes the pixels"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order in preprocessor_config.json changes the pixels"),
        ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "longest_edge of size in preprocessor_config.json changes"),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "do_center_crop": False},
            r"does not say its resize$",
        ),
        ({"size": {"height": 10**400, "width": 32}}, "size in preprocessor_config.json is no size of an image"),
        ({"size": -32}, "size in preprocessor_config.json is no size of an image"),
        ({"crop_size": 10**400}, "crop_size in preprocessor_config.json is no size of an image"),
        ({"do_rescale": False}, "does not scale pixels by 1/255"),
        ({"rescale_factor": 1 / 127.5}, "does not scale pixels by 1/255"),
        ({"size": {"height": 64, "width": 64}}, "its preprocessing gives 64 pixels, but its weights take 32"),
        ({"resample": 4}, "does not say its interpolation"),
        ({"size": {"longest_edge": 32}}, "longest_edge of size in preprocessor_config.json changes the pixels"),
        ({"image_processor_type": None, "size": 32}, "does not say its resize"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_std": [0.5, 0.5, 0.0]}, "std must be positive"),
    ],
)
def test_pixels_that_are_refused(change: dict[str, Any], words: str, vit: tuple[Any, Path], take: Any) -> None:
    (vit[1] / "preprocessor_config.json").write_text(json.dumps({**VIT_PIXELS, **change}))
    with pytest.raises(BadInput, match=words):
        take(vit[1])


def test_an_option_wins_and_is_recorded(vit: tuple[Any, Path], take: Any, with_labels: Callable[[int], Path]) -> None:
    asked = Asked((0.1, 0.2, 0.3), None, Resize((40, 40), "keep"), None, with_labels(4))
    settled = take(vit[1], asked).settled
    assert settled.preprocess == Preprocess((40, 40), (32, 32), "bilinear", (0.1, 0.2, 0.3), (0.5,) * 3, "keep")
    assert settled.labels[0] == "thing 0"
    assert "--mean 0.1,0.2,0.3, where the file says 0.5,0.5,0.5" in settled.source
    assert "--resize 40, where the file says 32x32" in settled.source and "--labels" in settled.source


# A config that contradicts its weights.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 64}, "hidden_size in config.json is 64, but the weights have 48"),
        ({"num_hidden_layers": 12}, "num_hidden_layers in config.json is 12, but the weights have 3"),
        ({"intermediate_size": 96}, "intermediate_size in config.json is 96, but the weights have 80"),
        ({"patch_size": 16}, "patch_size in config.json is 16, but the weights have 8"),
        ({"patch_size": [8, 16]}, r"patch_size in config.json is \(8, 16\), but the weights have 8"),
        ({"image_size": 64}, "64 at patch 8 has 64 patches, but its position embeddings have 17 rows"),
        ({"image_size": 36}, "patch 8 of .* does not divide image size 36"),
        ({"id2label": {"0": "a", "1": "b"}}, "the number of id2label in config.json is 2, but the weights have 4"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label does not number the classes from 0"),
        ({"num_attention_heads": 5}, "5 heads do not divide width 48"),
        ({"num_attention_heads": 0}, "0 heads do not divide width 48"),
        ({"num_attention_heads": -4}, "-4 heads do not divide width 48"),
        ({"num_channels": 1}, "num_channels in config.json is 1"),
        ({"hidden_act": "quick_gelu"}, "hidden_act in config.json is quick_gelu"),
        ({"model_type": "beit"}, "model_type in config.json is beit"),
        ({"layer_norm_eps": -1.0}, "its LayerNorms would add -1.0"),
        ({"image_size": 10**400}, "image_size in config.json is no size of an image"),
        ({"image_size": [32, -32]}, "image_size in config.json is no size of an image"),
        ({"qkv_bias": False}, "qkv_bias in config.json is false, but the weights have vit.encoder.layer.0"),
        ({"hidden_size": "48"}, "hidden_size"),
    ],
    ids=lambda value: str(value)[:70],
)  # fmt: skip
def test_contradictions(change: dict[str, Any], words: str, vit: tuple[Any, Path], take: Any) -> None:
    told = json.loads((vit[1] / "config.json").read_text())
    (vit[1] / "config.json").write_text(json.dumps({**told, **change}))
    with pytest.raises(BadInput, match=words):
        take(vit[1])


@pytest.mark.parametrize("said", [True, None])
def test_biases_that_the_config_says_and_the_file_lacks(said: bool | None, vit: tuple[Any, Path], take: Any) -> None:
    """Where it says nothing, transformers' models have them."""
    file = vit[1] / "model.safetensors"
    kept = {
        k: v for k, v in safetensors.torch.load_file(file).items() if not k.endswith(("query.bias", "key.bias", "value.bias"))
    }
    safetensors.torch.save_file(kept, file)
    told = json.loads((vit[1] / "config.json").read_text())
    told = {**told, "qkv_bias": said} if said is not None else {k: v for k, v in told.items() if k != "qkv_bias"}
    (vit[1] / "config.json").write_text(json.dumps(told))
    with pytest.raises(DamagedFile, match=r"missing tensor: vit.encoder.layer.0.attention.attention.key.bias, "):
        take(vit[1])


def test_heads_that_the_config_leaves_out(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    """transformers then has twelve, whatever the shape."""
    model = shuffle(transformers.ViTForImageClassification(transformers.ViTConfig(**{**SHAPE, "num_attention_heads": 12})))
    folder = _saved(model, tmp_path / "m")
    told = json.loads((folder / "config.json").read_text())
    del told["num_attention_heads"]
    (folder / "config.json").write_text(json.dumps(told))
    taken = take(folder)
    assert _difference(model, taken) < EXACT and taken.settled.config.heads == 12
    assert "12 heads, as transformers has where config.json says none" in taken.settled.source
    settled = take(folder, Asked(heads=4)).settled
    assert settled.config.heads == 4 and "as transformers" not in settled.source


def test_a_tensor_with_and_without_its_prefix(vit: tuple[Any, Path], take: Any) -> None:
    file = vit[1] / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    safetensors.torch.save_file({**tensors, "layernorm.weight": torch.zeros(48)}, file)
    with pytest.raises(DamagedFile, match=r"both layernorm.weight and vit.layernorm.weight"):
        take(vit[1])


def test_the_config_beside_a_file_is_read(vit: tuple[Any, Path], take: Any) -> None:
    assert _difference(vit[0], take(vit[1] / "model.safetensors")) < EXACT


def test_without_its_config(vit: tuple[Any, Path], take: Any) -> None:
    (vit[1] / "config.json").unlink()
    with pytest.raises(BadInput, match=r"no config.json beside .*model.safetensors") as caught:
        take(vit[1] / "model.safetensors")
    assert "give the folder" in caught.value.hint


def test_all_that_is_missing_is_named_at_once(vit: tuple[Any, Path], take: Any) -> None:
    (vit[1] / "preprocessor_config.json").unlink()
    told = json.loads((vit[1] / "config.json").read_text())
    del told["id2label"]
    (vit[1] / "config.json").write_text(json.dumps(told))
    with pytest.raises(BadInput, match=r"does not say its mean, std, resize, interpolation, labels$") as caught:
        take(vit[1])
    assert "--mean 0.485,0.456,0.406" in caught.value.hint and "--labels" in caught.value.hint


@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape", "type", "nan", "inf"])
def test_damaged_tensors_are_named(damage: str, vit: tuple[Any, Path], take: Any) -> None:
    file = vit[1] / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    name = next(n for n in tensors if "1" in n and n.endswith("dense.bias") and "intermediate" in n)
    value = tensors.pop(name)
    changed = {
        "missing": {},
        "unexpected": {name: value, "vit.extra": value.clone()},
        "shape": {name: value[:-1].clone()},
        "type": {name: value.long()},
        "nan": {name: value.index_fill(0, torch.tensor([3]), float("nan"))},
        "inf": {name: value.double() * 1e300},
    }
    safetensors.torch.save_file({**tensors, **changed[damage]}, file)
    words = {"shape": "has shape", "type": "has type", "nan": "NaN or infinity", "inf": "NaN or infinity"}.get(damage, damage)
    named = "vit.extra" if damage == "unexpected" else name
    with pytest.raises(DamagedFile) as caught:
        take(vit[1])
    assert words in caught.value.message and named in caught.value.message

"""One model's weights under the names of every format: whichever way they came, the logits are those of `transformers`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from edgevit.vit.foreign.asked import Asked

transformers = pytest.importorskip("transformers", reason="transformers is a test's reference alone")

WIDTH, DEPTH, HEADS, CLASSES = 48, 3, 4, 5

Tensors = dict[str, Tensor]
Maps = dict[str, str]

TIMM: Maps = {
    "vit.embeddings.cls_token": "cls_token", "vit.embeddings.position_embeddings": "pos_embed",
    "vit.embeddings.patch_embeddings.projection": "patch_embed.proj", "vit.layernorm": "norm", "classifier": "head",
    "layernorm_before": "norm1", "layernorm_after": "norm2", "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
}  # fmt: skip
TORCHVISION: Maps = {
    "vit.embeddings.cls_token": "class_token", "vit.embeddings.position_embeddings": "encoder.pos_embedding",
    "vit.embeddings.patch_embeddings.projection": "conv_proj", "vit.layernorm": "encoder.ln", "classifier": "heads.head",
    "layernorm_before": "ln_1", "layernorm_after": "ln_2", "attention.output.dense": "self_attention.out_proj",
    "intermediate.dense": "mlp.0", "output.dense": "mlp.3",
}  # fmt: skip
GOOGLE: Maps = {
    "vit.embeddings.cls_token": "cls", "vit.embeddings.position_embeddings": "Transformer/posembed_input/pos_embedding",
    "vit.embeddings.patch_embeddings.projection": "embedding", "vit.layernorm": "Transformer/encoder_norm", "classifier": "head",
    "layernorm_before": "LayerNorm_0", "layernorm_after": "LayerNorm_2",
    "attention.output.dense": "MultiHeadDotProductAttention_1/out", "intermediate.dense": "MlpBlock_3/Dense_0",
    "output.dense": "MlpBlock_3/Dense_1",
}  # fmt: skip


def _renamed(tensors: Tensors, maps: Maps, block: str) -> Tensors:
    """All but queries, keys and values, each layer under its other name, with the part of it as it was."""
    found = {}
    for name, tensor in tensors.items():
        before, _, rest = name.rpartition("encoder.layer.")
        number, _, layer = rest.partition(".") if before else ("", "", name)
        layer, _, part = (layer, "", "") if layer in maps else layer.rpartition(".")
        if layer in maps:
            place = f"{block}{number}{'/' if '/' in block else '.'}" if number else ""
            found[f"{place}{maps[layer]}" + (f".{part}" if part else "")] = tensor
    return found


def _thirds(tensors: Tensors, n: int, part: str) -> list[Tensor]:
    return [tensors[f"vit.encoder.layer.{n}.attention.attention.{name}.{part}"] for name in ("query", "key", "value")]


def _timm(tensors: Tensors, folder: Path) -> Path:
    found = _renamed(tensors, TIMM, "blocks.")
    for n in range(DEPTH):
        for part in ("weight", "bias"):
            found[f"blocks.{n}.attn.qkv.{part}"] = torch.cat(_thirds(tensors, n, part))
    safetensors.torch.save_file(found, folder / "timm.safetensors")
    return folder / "timm.safetensors"


def _torchvision(tensors: Tensors, folder: Path) -> Path:
    found = _renamed(tensors, TORCHVISION, "encoder.layers.encoder_layer_")
    for n in range(DEPTH):
        for part in ("weight", "bias"):
            found[f"encoder.layers.encoder_layer_{n}.self_attention.in_proj_{part}"] = torch.cat(_thirds(tensors, n, part))
    torch.save(found, folder / "vit.pth")
    return folder / "vit.pth"


def _google(tensors: Tensors, folder: Path) -> Path:
    """Maps from input to output, the heads of the attention apart."""
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in _renamed(tensors, GOOGLE, "Transformer/encoderblock_").items():
        layer, _, part = name.rpartition(".")
        value = tensor.permute(2, 3, 1, 0) if tensor.dim() == 4 else tensor.T if tensor.dim() == 2 else tensor
        value = value.reshape(HEADS, WIDTH // HEADS, WIDTH) if layer.endswith("/out") and part == "weight" else value
        norm = "LayerNorm" in layer or layer.endswith("encoder_norm")
        kind = {"weight": "/scale" if norm else "/kernel", "bias": "/bias"}.get(part, "")
        arrays[(layer if part in ("weight", "bias") else name) + kind] = value.numpy()
    for n in range(DEPTH):
        place = f"Transformer/encoderblock_{n}/MultiHeadDotProductAttention_1"
        for name, weight, bias in zip(
            ("query", "key", "value"), _thirds(tensors, n, "weight"), _thirds(tensors, n, "bias"), strict=True
        ):
            arrays[f"{place}/{name}/kernel"] = weight.T.reshape(WIDTH, HEADS, WIDTH // HEADS).numpy()
            arrays[f"{place}/{name}/bias"] = bias.reshape(HEADS, WIDTH // HEADS).numpy()
    np.savez(folder / "vit.npz", **arrays)
    return folder / "vit.npz"


FORMATS: dict[str, Callable[[Tensors, Path], Path] | None] = {
    "Hugging Face": None, "timm": _timm, "torchvision": _torchvision, "Google": _google,
}  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_logits(
    format: str, told: Asked, with_labels: Callable[[int], Path], shuffle: Callable[..., Any], take: Any, tmp_path: Path
) -> None:
    """Its LayerNorms have the constant, and its GELU the form, that the format's own models have."""
    config = transformers.ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=80, image_size=32, patch_size=8,
        layer_norm_eps=1e-6, hidden_act="gelu_pytorch_tanh" if format == "Google" else "gelu", num_labels=CLASSES,
    )  # fmt: skip
    model = shuffle(transformers.ViTForImageClassification(config))
    model.save_pretrained(tmp_path / "theirs", save_original_format=True)
    write = FORMATS[format]
    tensors = safetensors.torch.load_file(tmp_path / "theirs" / "model.safetensors")
    path = write(tensors, tmp_path) if write else tmp_path / "theirs"
    taken = take(path, dataclasses.replace(told, labels=with_labels(CLASSES), heads=HEADS))
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected = model(images).logits
    assert expected.std() > 0.05, "logits this flat would agree with anything"
    assert (taken(images) - expected).abs().max() < 1e-5

"""torchvision's ViT: the same logits as a model of its names and modules, put together here from torch's own parts."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from edgevit.errors import BadInput, DamagedFile
from edgevit.vit.foreign.asked import Asked

WIDTH, MLP, CLASSES = 64, 128, 5


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH, 1e-6), nn.LayerNorm(WIDTH, 1e-6)
        self.self_attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, MLP), nn.GELU(), nn.Dropout(0.0), nn.Linear(MLP, WIDTH), nn.Dropout(0.0))

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, 17, WIDTH))
        self.layers = nn.Sequential(OrderedDict((f"encoder_layer_{n}", _Block()) for n in range(4)))
        self.ln = nn.LayerNorm(WIDTH, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(self.layers(x + self.pos_embedding))


class _Reference(nn.Module):
    def __init__(self, representation: int = 0) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, WIDTH, 8, 8)
        self.class_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.encoder = _Encoder()
        before = [("pre_logits", nn.Linear(WIDTH, representation)), ("act", nn.Tanh())] if representation else []
        self.heads = nn.Sequential(OrderedDict([*before, ("head", nn.Linear(representation or WIDTH, CLASSES))]))

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv_proj(images).flatten(2).transpose(1, 2)
        x = self.encoder(torch.cat([self.class_token.expand(len(x), -1, -1), x], 1))
        return self.heads(x[:, 0])


@pytest.fixture
def asked(told: Asked, with_labels: Callable[[int], Path]) -> Asked:
    return dataclasses.replace(told, labels=with_labels(CLASSES), heads=2)


def _agree(reference: nn.Module, taken: Any) -> None:
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = reference(images)
    assert expected.std() > 0.05 and (taken(images) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("representation", [0, 24])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_logits(representation: int, ending: str, asked: Asked, shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    reference = shuffle(_Reference(representation))
    file = tmp_path / f"vit{ending}"
    if ending == ".pth":
        torch.save(reference.state_dict(), file)
    else:
        safetensors.torch.save_file(reference.state_dict(), file)
    taken = take(file, asked)
    _agree(reference, taken)
    assert taken.settled.config.heads == 2 and "--heads 2" in taken.settled.source


def test_names_of_the_first_release(asked: Asked, shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    reference = shuffle(_Reference())
    names = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}
    tensors = {}
    for name, tensor in reference.state_dict().items():
        old = next((key for key in names if key in name), "")
        tensors[name.replace(old, names[old]) if old else name] = tensor
    torch.save(tensors, tmp_path / "vit.pth")
    _agree(reference, take(tmp_path / "vit.pth", asked))


def test_checkpoint_of_a_training_script(asked: Asked, shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    """Parameters of a model under `model`, in half precision."""
    reference = shuffle(_Reference())
    reference.load_state_dict({name: t.half() for name, t in reference.state_dict().items()})
    parameters = {name: nn.Parameter(t.half()) for name, t in reference.state_dict().items()}
    torch.save({"model": parameters, "epoch": 3}, tmp_path / "vit.pth")
    _agree(reference, take(tmp_path / "vit.pth", asked))


def test_unknown_shape_needs_its_heads(asked: Asked, take: Any, tmp_path: Path) -> None:
    """The number of heads is in no tensor."""
    tensors = {name: t for name, t in _Reference().state_dict().items() if "encoder_layer_3" not in name}
    torch.save({name: torch.zeros_like(t) for name, t in tensors.items()}, tmp_path / "vit.pth")
    asked = dataclasses.replace(asked, heads=None)
    with pytest.raises(BadInput, match=r"does not say its heads$") as caught:
        take(tmp_path / "vit.pth", asked)
    assert "--heads" in caught.value.hint and "--model" in caught.value.hint
    with pytest.raises(BadInput, match="--model Pico/8 has depth 4, but the weights have 3"):
        take(tmp_path / "vit.pth", dataclasses.replace(asked, model="Pico/8"))


def test_damaged_tensors_are_named(asked: Asked, shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    tensors = dict(shuffle(_Reference()).state_dict())
    name = "encoder.layers.encoder_layer_2.self_attention.in_proj_bias"
    for changed, words in (
        ({k: v for k, v in tensors.items() if k != name}, f"missing tensor: {name}"),
        ({**tensors, name: tensors[name][:-1]}, rf"{name} has shape \(191,\), expected \(192,\)"),
        ({**tensors, "conv_proj.conv_bn_relu_0.1.weight": torch.ones(3)}, "unexpected tensor: conv_proj.conv_bn_relu_0"),
    ):
        torch.save(changed, tmp_path / "vit.pth")
        with pytest.raises(DamagedFile, match=words):
            take(tmp_path / "vit.pth", asked)

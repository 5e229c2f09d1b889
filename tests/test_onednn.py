"""Linears by oneDNN give what torch's do, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from edgevit import onednn
from edgevit.vit.config import config
from edgevit.vit.model import ViT


class Asked(TorchDispatchMode):
    """The shapes of what oneDNN convolves while it lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[torch.Size] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.mkldnn_convolution.default:
            self.shapes.append(args[0].shape)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def asked() -> Iterator[list[torch.Size]]:
    with torch.no_grad(), Asked() as noted:
        yield noted.shapes


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("biased", [True, False])
def test_any_rank(shape: tuple[int, ...], biased: bool, asked: list[torch.Size]) -> None:
    x, weight, bias = torch.randn(shape), torch.randn(4, 7), torch.randn(4) if biased else None
    found = onednn.linear(x, weight, bias)
    torch.testing.assert_close(found, F.linear(x, weight, bias))
    assert found.is_contiguous() and len(asked) == 1


@pytest.mark.parametrize("x", [torch.randn(3, 7, dtype=torch.float64), torch.randn(0, 7)], ids=["float64", "nothing"])
def test_what_it_does_not_take(x: Tensor, asked: list[torch.Size]) -> None:
    weight = torch.randn(4, 7, dtype=x.dtype)
    torch.testing.assert_close(onednn.linear(x, weight), F.linear(x, weight), rtol=0, atol=0)
    assert not asked


@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads(threads: int, asked: list[torch.Size]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        x, weight = torch.randn(3, 7), torch.randn(4, 7)
        torch.testing.assert_close(onednn.linear(x, weight), F.linear(x, weight))
    finally:
        torch.set_num_threads(before)
    assert len(asked) == 1


def test_what_is_learned_computes_as_ever(asked: list[torch.Size]) -> None:
    x, weight = torch.randn(3, 7), torch.randn(4, 7, requires_grad=True)
    with torch.enable_grad():
        onednn.linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(4, -1))
    assert not asked


@pytest.mark.parametrize("how", [{}, {"stride": (2, 1)}, {"dilation": (1, 2)}, {"groups": 3}], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_a_convolution(how: dict[str, Any], biased: bool, asked: list[torch.Size]) -> None:
    x, weight, bias = (
        torch.randn(4, 2, 6, 8, 9),
        torch.randn(9, 6 // how.get("groups", 1), 3, 2),
        torch.randn(9) if biased else None,
    )
    wanted = F.conv2d(x.flatten(0, 1), weight, bias, **how).unflatten(0, x.shape[:2])
    asked.clear()
    torch.testing.assert_close(onednn.conv2d(x[0], weight, bias, **how), wanted[0])
    torch.testing.assert_close(torch.vmap(lambda each: onednn.conv2d(each, weight, bias, **how))(x), wanted)
    torch.testing.assert_close(
        torch.vmap(lambda each: onednn.conv2d(each, weight, bias, **how), in_dims=2)(x.movedim(0, 2)), wanted
    )
    assert [shape[0] for shape in asked] == [2, 8, 8]


def test_a_weight_for_each_of_a_batch() -> None:
    x, weights, biases = torch.randn(2, 6, 8, 9), torch.randn(4, 9, 6, 3, 2), torch.randn(4, 9)
    found = torch.vmap(lambda weight, bias: onednn.conv2d(x, weight, bias))(weights, biases)
    torch.testing.assert_close(found, torch.stack([F.conv2d(x, *each) for each in zip(weights, biases, strict=True)]))


def test_a_whole_model(asked: list[torch.Size]) -> None:
    vit = ViT(config("Pico/8", (16, 16), 5)).eval()
    images = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        wanted = vit(images)
        asked.clear()
        with onednn.ByOneDNN():
            found = vit(images)
        linears = sum(isinstance(module, nn.Linear) for module in vit.modules())
        assert len(asked) >= linears
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_mapped_over_a_batch(asked: list[torch.Size]) -> None:
    images, weight = torch.randn(4, 1, 5, 7), torch.randn(6, 7)
    found = torch.vmap(lambda image: onednn.linear(image, weight), chunk_size=2)(images)
    torch.testing.assert_close(found, images @ weight.mT)


def test_weights_of_torchao_compute_as_ever() -> None:
    """Their own kernel rounds what enters; a convolution of the floats would not."""
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_

    model = nn.Sequential(nn.Linear(32, 16)).eval()
    quantize_(model, Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8))
    x = torch.randn(3, 32)
    with torch.inference_mode():
        wanted = model(x)
        with onednn.ByOneDNN():
            torch.testing.assert_close(model(x), wanted, rtol=0, atol=0)

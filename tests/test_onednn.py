"""Linears by oneDNN give what torch's do, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit import onednn
from edgevit.vit.config import config
from edgevit.vit.model import ViT


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of what goes into convolutions, which is how torch asks oneDNN."""
    seen: list[torch.Size] = []
    convolve = F.conv2d

    def noted(x: Tensor, *args: object, **kwargs: object) -> Tensor:
        seen.append(x.shape)
        return convolve(x, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "conv2d", noted)
    return seen


@pytest.fixture
def threads() -> Iterator[None]:
    """One thread has no oneDNN; this process may be one of several that share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("biased", [True, False])
def test_any_rank(shape: tuple[int, ...], biased: bool, asked: list[torch.Size], threads: None) -> None:
    x, weight, bias = torch.randn(shape), torch.randn(4, 7), torch.randn(4) if biased else None
    found = onednn.linear(x, weight, bias)
    torch.testing.assert_close(found, F.linear(x, weight, bias))
    assert found.is_contiguous() and len(asked) == 1


@pytest.mark.parametrize("x", [torch.randn(3, 7, dtype=torch.float64), torch.randn(0, 7)], ids=["float64", "nothing"])
def test_what_it_does_not_take(x: Tensor, asked: list[torch.Size], threads: None) -> None:
    weight = torch.randn(4, 7, dtype=x.dtype)
    torch.testing.assert_close(onednn.linear(x, weight), F.linear(x, weight), rtol=0, atol=0)
    assert not asked


def test_one_thread_computes_as_ever(asked: list[torch.Size], threads: None) -> None:
    torch.set_num_threads(1)
    x, weight = torch.randn(3, 7), torch.randn(4, 7)
    torch.testing.assert_close(onednn.linear(x, weight), F.linear(x, weight), rtol=0, atol=0)
    assert not asked


def test_a_whole_model(asked: list[torch.Size], threads: None) -> None:
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


def test_mapped_over_a_batch(asked: list[torch.Size], threads: None) -> None:
    images, weight = torch.randn(4, 1, 5, 7), torch.randn(6, 7)
    found = torch.vmap(lambda image: onednn.linear(image, weight), chunk_size=2)(images)
    torch.testing.assert_close(found, images @ weight.mT)


def test_weights_of_torchao_compute_as_ever(threads: None) -> None:
    """Their own kernel rounds what enters; a convolution of the floats would not."""
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_

    model = nn.Sequential(nn.Linear(32, 16)).eval()
    quantize_(model, Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8))
    x = torch.randn(3, 32)
    with torch.inference_mode():
        wanted = model(x)
        with onednn.ByOneDNN():
            torch.testing.assert_close(model(x), wanted, rtol=0, atol=0)

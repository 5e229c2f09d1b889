"""Pixels in, probabilities out: the normalisation inside is the one definition, for every variant and converter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import converters
import quantize
import targets
from converters.order import Order
from converters.rewrite.pixels import Units, folded
from converters.rewrite.rewriting import rewritten
from edgevit.data.preprocess import denormalise, normalise
from edgevit.types import Input, Preprocess, ViTConfig, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from edgevit.vit.static import Rounding
from quantize.apply import quantized
from targets import all_targets

LABELS = ("crane", "plane", "crane", "train", "rain")
PIXELS = [target for target in all_targets() if target.pixels_outside is not None and not target.by_name_only]
SIZE = (32, 32)
UNEVEN = Preprocess(SIZE, SIZE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.1, 0.9))


def noisy(shape: ViTConfig) -> ViT:
    torch.manual_seed(0)
    vit = ViT(shape).eval()
    for p in vit.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return vit.requires_grad_(False)


def pixels(shape: ViTConfig, n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape.image_size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (2 / 255, -1.0)])
def test_normalised_inside_is_the_same_function(variant: ViTConfig, scale: float, bias: float) -> None:
    """Of a hybrid too, whose convolutions pad: a rim of zeros is not a rim of black."""
    vit, given = noisy(variant), pixels(variant)
    images = torch.from_numpy(normalise(given, UNEVEN))
    authored, (made,) = rewritten(vit, [folded(UNEVEN, scale, bias)], images)
    assert made.exact and made.float64 < 1e-12
    entering = torch.from_numpy(given).permute(0, 3, 1, 2).float() * scale + bias
    for one, expected in zip(entering, images, strict=True):
        assert torch.allclose(authored(one[None]), vit(expected[None]), rtol=1e-4, atol=1e-4)


def test_what_was_normalised_is_found_again_to_the_pixel() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    images = normalise(every, UNEVEN)
    assert np.array_equal(denormalise(images, UNEVEN), every)
    undone = Units.of(UNEVEN, 1, 0).undo(torch.from_numpy(images)).permute(0, 2, 3, 1)
    assert np.array_equal(undone.round().byte().numpy(), every)


QUICK = ("tflite", "tflite-npu", "executorch", "coreml")
EACH = [pytest.param(t, id=t.name, marks=[] if t.name in QUICK else pytest.mark.slow) for t in PIXELS]


@pytest.mark.parametrize("target", EACH)
def test_a_file_of_pixels_gives_probabilities(target: targets.Target, tmp_path: Path) -> None:
    if targets.missing(target):
        pytest.skip(f"{target.name} is not installed")
    form = next(iter(target.recipes))
    name = f"{form}-static" if target.activations == ("static",) else form
    recipe, vit = quantize.get(name), noisy(config("Pico/8", SIZE, len(LABELS)))
    given = pixels(vit.config, 16)
    images = torch.from_numpy(normalise(given, UNEVEN))
    expected = torch.softmax(vit(images), -1).numpy()
    if recipe.quantizes:
        quantized(vit, recipe, images).put(vit, False)
        vit.entering = Rounding.between(float(images.min()), float(images.max()))
    order = Order(vit, recipe, images[:2], UNEVEN, LABELS, Input.PIXELS, images)
    made = converters.convert(target.converter, order, tmp_path, silent)
    if made.delegation.outside is not None and target.max_outside is not None:
        assert made.delegation.outside <= target.max_outside + (target.pixels_outside or 0)
    if target.converter.startswith(("coreml", "executorch")):
        found = targets.described(target.name, tmp_path / made.file)
        assert found and (found.labels, found.preprocess, found.input) == (LABELS, UNEVEN, Input.PIXELS)
    answered = targets.load(target.name, tmp_path / made.file, 1)(given)
    assert np.abs(answered.sum(1) - 1).max() < 0.02
    assert np.linalg.norm(answered - expected) < 0.15 * np.linalg.norm(expected)
    assert np.linalg.norm(answered - expected[:, ::-1]) > 0.15 * np.linalg.norm(expected), "it cannot tell classes apart"

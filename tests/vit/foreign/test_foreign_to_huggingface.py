"""Our models in folders that `transformers` opens: its logits are ours, its pixels are ours, and we read them back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from edgevit.errors import BadInput
from edgevit.types import Checkpoint, Preprocess
from edgevit.vit.config import config as named_config
from edgevit.vit.foreign.to_huggingface import written
from edgevit.vit.model import ViT

transformers = pytest.importorskip("transformers", reason="transformers is a test's reference alone")

EXACT = 1e-5


def _checkpoint(model: ViT, preprocess: Preprocess) -> Checkpoint:
    labels = tuple(f"thing {n}" for n in range(model.config.classes))
    return Checkpoint(model.config, preprocess, labels, {}, "", {})


def _handed_on(model: ViT, checkpoint: Checkpoint, folder: Path) -> Path:
    folder.mkdir()
    found = written(model, checkpoint)
    safetensors.torch.save_file(found.tensors, folder / "model.safetensors", {"format": "pt"})
    for name, value in found.files.items():
        (folder / name).write_text(json.dumps(value))
    return folder


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "ViTForImageClassification"),
        ({"gelu": "tanh", "norm_eps": 1e-5}, "ViTForImageClassification"),
        ({"image_size": (32, 48)}, "ViTForImageClassification"),
        ({"positions": "sincos"}, "ViTForImageClassification"),
        ({"positions": "2d"}, "ViTForImageClassification"),
        ({"positions": "none"}, "ViTForImageClassification"),
        ({"pool": "distilled"}, "DeiTForImageClassificationWithTeacher"),
    ],
    ids=str,
)
def test_transformers_reads_what_we_write(
    change: dict[str, Any], kind: str, shuffle: Callable[..., Any], take: Any, tmp_path: Path
) -> None:
    config = dataclasses.replace(named_config("Pico/8", (32, 32), 5), **change)
    ours = shuffle(ViT(config))
    preprocess = Preprocess((36, 54) if config.image_size[1] == 48 else (36, 36), config.image_size, "bilinear", aspect="squash")
    folder = _handed_on(ours, _checkpoint(ours, preprocess), tmp_path / "out")
    theirs, report = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    taken = take(folder)
    images = torch.randn(2, 3, *config.image_size)
    with torch.inference_mode():
        expected = ours(images)
        assert (theirs.eval()(images).logits - expected).abs().max() < EXACT
    assert (taken(images) - expected).abs().max() < EXACT
    assert taken.settled.preprocess == preprocess and taken.settled.labels == tuple(f"thing {n}" for n in range(5))
    assert theirs.config.id2label[4] == "thing 4"


@pytest.mark.parametrize("representation", [0, 24])
def test_encoder_alone_and_back(representation: int, shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    config = dataclasses.replace(named_config("Pico/8", (32, 32), 0), representation=representation)
    ours = shuffle(ViT(config))
    folder = _handed_on(ours, _checkpoint(ours, Preprocess((32, 32), (32, 32))), tmp_path / "out")
    theirs = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=bool(representation)).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        answer = theirs(images)
        expected = answer.pooler_output if representation else answer.last_hidden_state[:, 0]
        assert (ours(images) - expected).abs().max() < EXACT
        assert torch.equal(take(folder)(images), ours(images))


def test_distilled_encoder_alone_and_back(shuffle: Callable[..., Any], take: Any, tmp_path: Path) -> None:
    config = dataclasses.replace(named_config("Pico/8", (32, 32), 0), pool="distilled")
    ours = shuffle(ViT(config))
    folder = _handed_on(ours, _checkpoint(ours, Preprocess((32, 32), (32, 32))), tmp_path / "out")
    theirs = transformers.DeiTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        first, second = theirs(images).last_hidden_state[:, :2].unbind(1)
        assert (ours(images) - (first + second) / 2).abs().max() < EXACT
    taken = take(folder)
    assert taken.settled.config.pool == "distilled" and torch.equal(taken(images), ours(images))


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess((32, 32), (32, 32), "bilinear", aspect="squash"),
        Preprocess((40, 40), (32, 32), aspect="squash"),
        Preprocess((40, 40), (32, 32)),
    ],
    ids=["squash", "squash and crop", "keep and crop"],
)
def test_transformers_makes_the_same_pixels(
    preprocess: Preprocess, shuffle: Callable[..., Any], take: Any, tmp_path: Path
) -> None:
    """Of the record that we write, for an image that is not square."""
    from PIL import Image

    from edgevit.data.preprocess import normalise, pixels

    ours = ViT(named_config("Pico/8", (32, 32), 5))
    folder = _handed_on(ours, _checkpoint(ours, preprocess), tmp_path / "out")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 75, 3), dtype=np.uint8))
    told = json.loads((folder / "preprocessor_config.json").read_text())
    kind = getattr(transformers, told["image_processor_type"] + "Pil", None)
    if kind is None:
        pytest.skip("this version of transformers has no processor that Pillow does")
    theirs = kind.from_pretrained(folder)(image, return_tensors="np")["pixel_values"]
    assert np.abs(theirs - normalise(pixels(image, preprocess)[None], preprocess)).max() < 1e-5
    assert take(folder).settled.preprocess == preprocess


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pool": "mean"}, "no pooling by the mean"),
        ({"registers": 2}, "no registers"),
        ({"representation": 16}, "no representation layer before a head"),
        ({"positions": "relative"}, "relative positions have no name"),
    ],
)
def test_what_transformers_lacks_is_refused(change: dict[str, Any], words: str) -> None:
    model = ViT(dataclasses.replace(named_config("Pico/8", (32, 32), 5), **change))
    with pytest.raises(BadInput, match=words):
        written(model, _checkpoint(model, Preprocess((32, 32), (32, 32))))

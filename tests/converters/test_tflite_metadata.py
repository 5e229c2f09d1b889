"""What stands in a TFLite file for Android's tools, and that nothing of the model is lost by writing it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("litert_torch")

import quantize
import targets
from converters import tflite, whole_scales
from converters.order import Order
from edgevit.checks.description import differs
from edgevit.errors import DamagedFile
from edgevit.types import Artifact, Input, Outcome, Preprocess, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize.apply import quantized

if any(not targets.present(library) for library in targets.runtimes("tflite")[-1].needs):
    pytest.skip("tflite-support is not installed", allow_module_level=True)

SHAPE = config("Pico/8", (16, 16), 3)
LABELS = ("a cat", "löwe", "a cat")
MEANS = Preprocess((20, 20), (16, 16), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
DESCRIBE = """
import sys
from pathlib import Path
from converters.tflite_metadata import describe
from edgevit import record
from edgevit.types import Artifact
print(describe(Path(sys.argv[1]), record.read(Path(sys.argv[2]), Artifact)))
"""
READ = """
import sys
from edgevit.lean import with_libusb
with with_libusb():
    from tensorflow_lite_support.metadata.python.metadata import MetadataDisplayer
shown = MetadataDisplayer.with_model_file(sys.argv[1])
print(shown.get_metadata_json())
"""


def python(code: str, *arguments: object) -> str:
    """In a process of its own: tflite-support meets no TensorFlow."""
    ran = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def vit() -> ViT:
    torch.manual_seed(0)
    model = ViT(SHAPE).eval()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model.requires_grad_(False)


def made(into: Path, recipe: str, input: Input = Input.TENSOR, labels: tuple[str, ...] = LABELS) -> tuple[Path, Artifact]:
    model, wanted, images = vit(), quantize.get(recipe), torch.randn(8, 3, 16, 16)
    if wanted.quantizes:
        quantized(model, wanted, images).put(model, True)
    exported = tflite.convert(Order(model, wanted, images[:2], MEANS, labels, input), into, silent)
    artifact = Artifact(
        "tflite", recipe, Outcome.PASS, file=exported.file, config=SHAPE, preprocess=MEANS, labels=labels, input=input
    )
    return into / exported.file, artifact


def described(file: Path, artifact: Artifact) -> str:
    from edgevit import record

    record.write(file.parent / "record.json", artifact)
    return python(DESCRIBE, file, file.parent / "record.json")


@pytest.mark.parametrize("recipe", ["fp32", "int8", "int4-g32"])
def test_nothing_of_the_model_is_lost(recipe: str, tmp_path: Path) -> None:
    """The writer of tflite-support itself drops scales of groups, and buffers outside of the flatbuffer."""
    file, artifact = made(tmp_path, recipe)
    images = np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32)
    before = targets.load("tflite", file, 1)(images)
    described(file, artifact)
    assert np.array_equal(targets.load("tflite", file, 1)(images), before)


def test_android_tools_find_labels_and_normalisation(tmp_path: Path) -> None:
    file, artifact = made(tmp_path, "fp32")
    assert described(file, artifact).strip() == "()"
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(LABELS)
        assert json.loads(archive.read("preprocess.json"))["resize"] == [20, 20]
    shown = json.loads(python(READ, file))
    (graph,) = shown["subgraph_metadata"]
    (image,), (answers,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    (units,) = image["process_units"]
    assert units["options"]["mean"] == pytest.approx([255 * x for x in MEANS.mean])
    assert units["options"]["std"] == pytest.approx([255 * x for x in MEANS.std])
    assert image["content"]["content_properties"]["color_space"] == "RGB"
    assert answers["associated_files"][0]["name"] == "labels.txt" and answers["name"] == "logits"


def test_what_it_says_of_itself_is_read_again(tmp_path: Path) -> None:
    file, artifact = made(tmp_path, "fp32")
    assert targets.described("tflite", file) is None
    described(file, artifact)
    found = targets.described("tflite", file)
    assert found and (found.labels, found.preprocess) == (LABELS, MEANS) and not differs(found, artifact)
    others = dataclasses.replace(artifact, labels=("a cat", "a cat", "löwe"))
    assert "class 1 is 'löwe', and not 'a cat'" in differs(found, others)
    assert "another mean" in differs(
        found, dataclasses.replace(artifact, preprocess=Preprocess((20, 20), (16, 16), std=MEANS.std))
    )


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff"])
def test_what_edgevit_never_writes_there_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("preprocess.json", content)
    with pytest.raises(DamagedFile, match="not what edgevit writes"):
        targets.described("tflite", file)


def test_two_are_equal_byte_by_byte(tmp_path: Path) -> None:
    files = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        file, artifact = made(tmp_path / name, "int8", Input.PIXELS)
        described(file, artifact)
        files.append(file.read_bytes())
    assert files[0] == files[1]


def test_labels_of_two_lines_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    file, artifact = made(tmp_path, "fp32", labels=("a", "b\nc", "d"))
    assert "holds no labels" in described(file, artifact)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["preprocess.json"]


def test_scales_apart_compute_the_same(tmp_path: Path) -> None:
    """To rounding in another order: the integers that enter and the sums of products are the same ones."""
    file, _ = made(tmp_path, "int8")
    images = np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32)
    expected = targets.load_in("tflite", "litert-plain", file, 1)(images)
    linears = 6 * SHAPE.depth + 1
    assert whole_scales.take_out(file) == linears and whole_scales.take_out(file) == linears
    answered = targets.load_in("tflite", "litert-plain", file, 1)(images)
    assert 0 < np.linalg.norm(answered - expected) < 1e-5 * np.linalg.norm(expected)

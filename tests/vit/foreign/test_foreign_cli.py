"""`edgevit import` and `edgevit export-weights`, as they are typed."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from edgevit import checkpoint as checkpoints
from edgevit.errors import BadInput
from edgevit.jobs.weights import export_weights, import_weights
from edgevit.types import silent
from edgevit.vit.config import config as named_config
from edgevit.vit.foreign.asked import Asked, Resize
from edgevit.vit.model import ViT

SHARED = Path(__file__).parents[4] / "shared" / "data"
DEIT = SHARED / "weights" / "deit-tiny-patch16-224"
IMAGENET = SHARED / "imagenet-sample-256"


@pytest.fixture
def bare(shuffle: Callable[..., Any], tmp_path: Path) -> tuple[ViT, Path]:
    """A Pico/8 of 3 classes, and its bare file with timm's names."""
    model = shuffle(ViT(named_config("Pico/8", (32, 64), 3)))
    safetensors.torch.save_file(model.state_dict(), tmp_path / "bare.safetensors")
    (tmp_path / "names.txt").write_text("cat\ndog\ncrane\n")
    return model, tmp_path / "bare.safetensors"


def _options(folder: Path) -> tuple[object, ...]:
    labels = folder / "names.txt"
    return (
        "--mean",
        "0.5",
        "--std",
        "0.2,0.3,0.4",
        "--resize",
        "70",
        "--interpolation",
        "bilinear",
        "--labels",
        labels,
        "--image-size",
        "32x64",
        "--heads",
        2,
    )


def test_there_and_back(bare: tuple[ViT, Path], run_cli: Any, tmp_path: Path) -> None:
    model, file = bare
    ran = run_cli("import", file, "--out", tmp_path / "in", *_options(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert (
        "Pico/8 at 32x64 px, 3 classes" in ran.stdout
        and "resized to 70 (bilinear), mean 0.5,0.5,0.5, std 0.2,0.3,0.4" in ran.stdout
    )
    made, taken = checkpoints.load(tmp_path / "in")
    assert made.train is None and made.metrics == {} and made.labels == ("cat", "dog", "crane")
    assert str(file) in made.source and "--std 0.2,0.3,0.4" in made.source and "--image-size 32x64" in made.source
    images = torch.randn(2, 3, 32, 64)
    with torch.inference_mode():
        assert torch.equal(taken(images), model(images))

    again = run_cli("import", file, "--out", tmp_path / "in", *_options(tmp_path))
    assert again.returncode == 2 and "--force replaces it" in again.stderr

    ran = run_cli("export-weights", tmp_path / "in", "--format", "timm", "--out", tmp_path / "timm")
    assert ran.returncode == 2 and "timm's config cannot say a resize" in ran.stderr and not (tmp_path / "timm").exists()
    ran = run_cli("export-weights", tmp_path / "in", "--format", "huggingface", "--out", tmp_path / "theirs", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["format"] == "huggingface" and (tmp_path / "theirs" / "preprocessor_config.json").is_file()


@pytest.mark.parametrize("format", ["timm", "huggingface"])
def test_through_each_format(format: str, bare: tuple[ViT, Path], tmp_path: Path) -> None:
    """The jobs themselves, without their processes: into a checkpoint, out of it, and into another."""
    model, file = bare
    asked = Asked((0.5,) * 3, (0.2, 0.3, 0.4), Resize((32, 64), "squash"), "bilinear", tmp_path / "names.txt", (32, 64), heads=2)
    first = import_weights(str(file), asked, tmp_path / "in", False, silent)
    made = export_weights(tmp_path / "in", format, tmp_path / "out", False, silent)
    assert made.notes == () and made.checkpoint_sha256 == first.weights_sha256 and made.folder == tmp_path / "out"
    second = import_weights(str(tmp_path / "out"), Asked(), tmp_path / "again", False, silent)
    assert (second.config, second.labels, second.preprocess) == (first.config, first.labels, first.preprocess)
    _, taken = checkpoints.load(tmp_path / "again")
    images = torch.randn(2, 3, 32, 64)
    with torch.inference_mode():
        assert (taken(images) - model(images)).abs().max() < 1e-6
    with pytest.raises(BadInput, match="already exists"):
        export_weights(tmp_path / "in", format, tmp_path / "out", False, silent)
    export_weights(tmp_path / "in", format, tmp_path / "out", True, silent)


def test_all_that_is_missing_is_named_at_once(bare: tuple[ViT, Path], run_cli: Any, tmp_path: Path) -> None:
    ran = run_cli("import", bare[1], "--out", tmp_path / "in")
    assert ran.returncode == 2 and not (tmp_path / "in").exists()
    assert f"{bare[1]} does not say its mean, std, resize, interpolation, labels, image size, heads" in ran.stderr
    assert "--resize 256" in ran.stderr and "--heads 12" in ran.stderr and "Traceback" not in ran.stderr


def test_heads_are_said_and_recorded(bare: tuple[ViT, Path], run_cli: Any, tmp_path: Path) -> None:
    ran = run_cli("import", bare[1], "--out", tmp_path / "in", *_options(tmp_path)[:-1], 4, "--model", "Pico/8")
    assert ran.returncode == 0, ran.stderr
    assert checkpoints.read(tmp_path / "in").config.heads == 4 and "--heads 4" in ran.stderr


def _bad_header(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("embedding/kernel.npy", b"\x93NUMPY\x01\x00\x1c\x00{'descr': '<f4', 'shape': (\n")


def _packed(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("embedding/kernel.npy", bytes(1 << 20))


def _of_small_floats(file: Path) -> None:
    text = json.dumps({"patch_embed.proj.weight": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(1))


def _nested(file: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.save({"patch_embed.proj.weight": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])}, file)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.npz", _bad_header, "embedding/kernel.npy is no whole array"),
        ("b.npz", _packed, "embedding/kernel.npy is packed by method 14"),
        ("c.safetensors", _of_small_floats, "patch_embed.proj.weight has type F4"),
        ("d.pth", _nested, "patch_embed.proj.weight is no plain tensor"),
    ],
)
def test_damaged_files(name: str, make: Callable[[Path], None], words: str, run_cli: Any, tmp_path: Path) -> None:
    make(tmp_path / name)
    ran = run_cli("import", tmp_path / name, "--out", tmp_path / "out")
    assert ran.returncode == 2 and words in ran.stderr and "Traceback" not in ran.stderr and not (tmp_path / "out").exists()


def test_configs_with_numbers_that_no_image_has(bare: tuple[ViT, Path], run_cli: Any, tmp_path: Path) -> None:
    for told in (
        {"model_args": {"img_size": 10**400 + 1}},
        {"pretrained_cfg": {"input_size": [3, 10**400, 32], "crop_pct": 0.9}},
    ):
        (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit", **told}))
        ran = run_cli("import", bare[1], "--out", tmp_path / "out")
        assert ran.returncode == 2 and "no size of an image" in ran.stderr and "Traceback" not in ran.stderr


def test_names_that_cannot_be_written(bare: tuple[ViT, Path], run_cli: Any, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('["a", "b", "\\ud800"]')
    ran = run_cli("import", bare[1], "--out", tmp_path / "out", *_options(tmp_path), "--labels", tmp_path / "names.json")
    assert ran.returncode == 2 and "the name of class 2" in ran.stderr and "Traceback" not in ran.stderr


def test_a_bare_published_file_needs_no_heads(run_cli: Any, tmp_path: Path) -> None:
    for needed in (DEIT, IMAGENET):
        if not needed.is_dir():
            pytest.skip(f"no {needed}")
    pixels = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--resize", 256, "--interpolation", "bicubic")
    options = (*pixels, "--labels", IMAGENET / "classes.csv")
    ran = run_cli("import", DEIT / "model.safetensors", "--out", tmp_path / "deit", *options)
    assert ran.returncode == 0, ran.stderr
    assert "Ti/16 at 224 px, 1000 classes" in ran.stdout and "3 heads, as the published Ti has" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "x", "--heads", "0"), "--heads is 1 to 1024: 0"),
        (("import", "nowhere.safetensors"), "no such file or folder: nowhere.safetensors"),
        (("import", "x", "--mean", "0.5,0.5"), "--mean takes one number or three"),
        (("import", "x", "--resize", "big"), "--resize takes pixels"),
        (("import", "x", "--interpolation", "cubic"), "unknown interpolation: cubic"),
        (("export-weights", "nowhere", "--format", "timm"), "no such checkpoint: nowhere"),
        (("export-weights", "nowhere", "--format", "tim"), "unknown weight format: tim"),
    ],
)
def test_misuse(arguments: tuple[str, ...], words: str, run_cli: Any, tmp_path: Path) -> None:
    ran = run_cli(*arguments, "--out", tmp_path / "out")
    assert ran.returncode == 2 and words in ran.stderr and "Traceback" not in ran.stderr


def test_nothing_is_replaced_that_is_not_ours(bare: tuple[ViT, Path], run_cli: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    ran = run_cli("import", bare[1], "--out", tmp_path / "mine", *_options(tmp_path), "--force")
    assert ran.returncode == 2 and "edgevit did not make it" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [("0.485,0.456,0.406", "0.229,0.224,0.225", 79.4), ("0.5", "0.5", 77.2)],
    ids=["its own normalisation", "another one"],
)
def test_published_weights_answer_as_published(mean: str, std: str, expected: float, run_cli: Any, tmp_path: Path) -> None:
    """DeiT-Ti on 1,000 images of ImageNet; a wrong normalisation costs it two points."""
    for needed in (DEIT, IMAGENET):
        if not needed.is_dir():
            pytest.skip(f"no {needed}")
    options = (
        "--mean",
        mean,
        "--std",
        std,
        "--resize",
        "256",
        "--interpolation",
        "bicubic",
        "--labels",
        IMAGENET / "classes.csv",
    )
    ran = run_cli("import", DEIT, "--out", tmp_path / "deit", *options)
    assert ran.returncode == 0, ran.stderr
    ran = run_cli("eval", tmp_path / "deit", "--data", IMAGENET / "labels.csv", "--split", "all", "--json", timeout=550)
    assert ran.returncode == 0, ran.stderr
    assert 100 * json.loads(ran.stdout)["top1"] == pytest.approx(expected, abs=0.3)

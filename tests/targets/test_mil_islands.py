"""Values that float16 does not hold: named where they overflow, and kept in float32 by an export that finds them first."""

from __future__ import annotations

import dataclasses
import gc
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevit.errors import EdgevitError
from edgevit.jobs.islands import fitting
from edgevit.types import Delegation, Exported, Island, Preprocess, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
pytest.importorskip("coremltools")
pytest.importorskip("torchao")

import converters
import quantize
import targets
from converters.order import Order
from quantize import apply as quantizing
from targets.mil import magnitudes
from targets.mil.program import Program

SHAPE = dataclasses.replace(config("Pico/8", (32, 32), 10), depth=2)
IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
FACTOR = 4e4
PLAIN = Preprocess((32, 32), (32, 32))


@pytest.fixture(scope="module")
def vit() -> ViT:
    """The second block's MLP works with numbers of some 1e5 within; its second Linear scales them back."""
    torch.manual_seed(0)
    model = ViT(SHAPE).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    mlp = model.blocks[1].mlp
    for tensor, factor in ((mlp.fc1.weight, FACTOR), (mlp.fc1.bias, FACTOR), (mlp.fc2.weight, 20 / FACTOR)):
        tensor.data *= factor
    return model.requires_grad_(False)


Make = Callable[..., tuple[Path, Exported]]


@pytest.fixture(scope="module")
def make(vit: ViT, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Each package once."""
    gc.freeze()  # `ct.convert` collects garbage each time, which takes long among the objects of torch and coremltools

    @cache
    def made(target: str, recipe: str, islands: tuple[Island, ...] = ()) -> tuple[Path, Exported]:
        into = tmp_path_factory.mktemp(target)
        ordered = dataclasses.replace(order(vit, recipe), islands=islands)
        exported = converters.convert(targets.get(target).converter, ordered, into, silent)
        return into / exported.file, exported

    return made


def order(vit: ViT, recipe: str) -> Order:
    quantized = ViT(SHAPE).eval().requires_grad_(False)
    quantized.load_state_dict(vit.state_dict())
    quantizing.apply(quantized, quantize.get(recipe), False)
    return Order(quantized, quantize.get(recipe), IMAGES, PLAIN)


def error(vit: ViT, answered: np.ndarray) -> float:
    wanted = vit(IMAGES).numpy()
    return float(np.linalg.norm(answered - wanted) / np.linalg.norm(wanted))


SLOWER = pytest.mark.slow


@pytest.mark.parametrize("target", ["coreml", pytest.param("coreml-ios18", marks=SLOWER), "coreml-ane"])
def test_plain_float16_overflows_and_is_named(target: str, make: Make) -> None:
    file, _ = make(target, "fp16")
    runner = targets.load(target, file)
    assert targets.faults(runner) == ""
    runner(IMAGES.numpy())
    words = targets.faults(runner)
    assert "4 of 4 images" in words and "blocks.1.mlp.fc1" in words, words


PAIRS = [
    ("coreml", "fp16"),
    pytest.param("coreml", "int8", marks=SLOWER),
    pytest.param("coreml-ios18", "fp16", marks=SLOWER),
    ("coreml-ane", "fp16"),
]


@pytest.mark.parametrize(("target", "recipe"), PAIRS)
def test_islands_hold_what_float16_does_not(target: str, recipe: str, vit: ViT, make: Make, tmp_path: Path) -> None:
    plain, made = make(target, recipe)
    islands = targets.too_large(target, plain, IMAGES.numpy())
    assert len(islands) == 3 and all("blocks.1.mlp" in island.place for island in islands), islands
    assert all(island.largest > magnitudes.LIMIT for island in islands)
    shutil.copytree(plain, tmp_path / plain.name)
    exported = fitting(made, target, order(vit, recipe), IMAGES.numpy(), tmp_path, silent)
    file = tmp_path / exported.file
    assert set(islands) <= set(exported.islands) and targets.too_large(target, file, IMAGES.numpy()) == ()
    runner = targets.load(target, file)
    assert error(vit, runner(IMAGES.numpy())) < (0.02 if recipe == "fp16" else 0.1)
    assert targets.faults(runner) == ""


@pytest.mark.parametrize("missed", [0, 1, 2, 3])
def test_what_a_conversion_missed_is_kept_by_the_next(missed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Names are given anew by each conversion: what is left is added to what was known, and three times is enough."""
    left = [(Island(f"linear_{number}", "linear", "fc1", 1e5),) for number in range(missed + 1)]
    asked: list[list[str]] = []

    def convert(converter: str, ordered: Order, into: Path, progress: object) -> Exported:
        asked.append([island.name for island in ordered.islands])
        (into / "model").mkdir()
        return Exported("model", Delegation(), (), ordered.islands)

    monkeypatch.setattr(converters, "convert", convert)
    monkeypatch.setattr(targets, "too_large", lambda *_: left.pop(0) if left else ())
    ordered = Order(ViT(SHAPE), quantize.get("fp16"), IMAGES, PLAIN)
    made = convert("", ordered, tmp_path, silent)
    if missed == 3:
        with pytest.raises(EdgevitError, match=r"linear_3 \(fc1\)"):
            fitting(made, "coreml", ordered, IMAGES.numpy(), tmp_path, silent)
    else:
        assert len(fitting(made, "coreml", ordered, IMAGES.numpy(), tmp_path, silent).islands) == missed + 1
    assert asked == [[f"linear_{number}" for number in range(n)] for n in range(min(missed + 1, 3) + 1)]


def test_nothing_is_kept_where_everything_fits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = converters.convert("coreml", Order(ViT(SHAPE).eval(), quantize.get("fp16"), IMAGES, PLAIN), tmp_path, silent)
    assert targets.too_large("coreml", tmp_path / exported.file, IMAGES.numpy()) == ()


@pytest.mark.slow
def test_single_precision_has_no_islands(make: Make) -> None:
    file, _ = make("coreml", "fp32")
    assert targets.too_large("coreml", file, IMAGES.numpy()) == ()
    runner = targets.load("coreml", file)
    runner(IMAGES.numpy())
    assert targets.faults(runner) == ""


def test_an_island_leaves_the_neural_engine(make: Make) -> None:
    """It has no float32: the export of that target is not delegated whole then, and says where."""
    plain, _ = make("coreml-ane", "fp16")
    file, _ = make("coreml-ane", "fp16", targets.too_large("coreml-ane", plain, IMAGES.numpy()))
    counted = targets.delegation("coreml-ane", file)
    assert counted and counted.outside and "float32" in counted.reason


@pytest.mark.parametrize(("reached", "looked_at"), [(0.9, [4]), (1.1, [4, 6])])
def test_all_images_are_looked_at_where_the_first_come_near(
    reached: float, looked_at: list[int], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fifth or the sixth is what overflows."""
    seen: list[int] = []

    def largest(found: Program, images: torch.Tensor) -> dict[int, float]:
        seen.append(len(images))
        most = reached * magnitudes.CLEAR if len(images) == magnitudes.FIRST else 2 * magnitudes.LIMIT
        return {slot.place: most for step in found.steps for slot in step.outputs}

    monkeypatch.setattr(magnitudes, "_largest", largest)
    plain, _ = make("coreml", "fp16")
    islands = targets.too_large("coreml", plain, IMAGES[[0, 1, 2, 3, 0, 1]].numpy())
    assert seen == looked_at and bool(islands) is (len(seen) == 2)


def test_what_is_no_number_hides_no_large_value() -> None:
    """The largest over some images, of which one gave NaN, is not smaller than what the others reached."""
    from targets.mil.magnitudes import LIMIT, _magnitude

    images = torch.tensor([[1.0, torch.nan], [2.0, -3.0]])
    assert torch.stack([_magnitude(image) for image in images]).amax() > LIMIT
    assert _magnitude(images[1]) == 3.0 and _magnitude(torch.tensor([-torch.inf])) == torch.inf

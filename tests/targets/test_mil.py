"""Whole models evaluated from their saved Core ML packages, in every precision, and packages that are damaged."""

from __future__ import annotations

import copy
import gc
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.errors import BadInput, DamagedFile, EdgevitError
from edgevit.types import ViTConfig
from edgevit.vit.model import ViT

library = pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
evaluate = pytest.importorskip("targets.mil.evaluate")
packages = pytest.importorskip("targets.mil.package")
program = pytest.importorskip("targets.mil.program").program
integers = pytest.importorskip("targets.mil.integers").integers
IOS17, IOS18 = ct.target.iOS17, ct.target.iOS18

CONFIG = ViTConfig("tiny", image_size=(24, 24), patch=8, width=32, depth=2, heads=2, mlp=48, classes=7)
IMAGES = np.random.default_rng(0).normal(size=(5, 3, 24, 24)).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    """`ct.convert` collects garbage each time, which takes half a second among the objects of torch and coremltools."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def vit() -> ViT:
    """A ViT with nothing left at zero or one, so that nothing can be dropped unseen."""
    torch.manual_seed(0)
    model = ViT(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.requires_grad_(False)


def converted(model: ViT, target: Any, precision: Any) -> Any:
    exported = torch.export.export(model, (torch.zeros(1, 3, 24, 24),)).run_decompositions({})
    return ct.convert(
        exported,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=precision,
        outputs=[ct.TensorType(name="logits")],
        skip_model_load=True,
    )


@pytest.fixture(scope="module")
def shelf(vit: ViT, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The ViT in every form, by name."""
    from coremltools.optimize import coreml as optimize
    from torchao.quantization import IntxWeightOnlyConfig, PerAxis, quantize_

    linear = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
    palettes = optimize.OpPalettizerConfig(mode="kmeans", nbits=6, weight_threshold=0)
    fp32, fp16 = (converted(vit, IOS17, p) for p in (ct.precision.FLOAT32, ct.precision.FLOAT16))
    ao = copy.deepcopy(vit)
    quantize_(ao, IntxWeightOnlyConfig(torch.int8, PerAxis(0)))
    models = {
        "fp32": fp32,
        "fp16": fp16,
        "fp16 iOS 18": converted(vit, IOS18, ct.precision.FLOAT16),
        "int8": optimize.linear_quantize_weights(fp32, optimize.OptimizationConfig(linear)),
        "int8 fp16": optimize.linear_quantize_weights(fp16, optimize.OptimizationConfig(linear)),
        "palette": optimize.palettize_weights(fp32, optimize.OptimizationConfig(palettes)),
        "torchao": converted(ao, IOS18, ct.precision.FLOAT16),
    }
    folder = tmp_path_factory.mktemp("shelf")
    for name, model in models.items():
        model.save(str(folder / f"{name}.mlpackage"))
    return {name: folder / f"{name}.mlpackage" for name in models}


def error(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def dequantized(vit: ViT, path: Path) -> ViT:
    """The ViT with the weights that coremltools reads from the package, where they are compressed."""
    plain = {"p_" + name.replace(".", "_"): name for name, _ in vit.named_parameters()}
    plain |= {"add": "cls_token", "slice_2": "pos_embed"}  # the class token with its position, and the positions of the patches
    model, state = copy.deepcopy(vit), {}
    for operation in packages.read(path).main.operations:
        if operation.op_type.startswith("constexpr"):
            name = operation.outputs[0].name.removesuffix("_quantized").removesuffix("_palettized").removesuffix("_to_fp16")
            state[plain[name]] = torch.tensor(operation.materialized_val_inference().astype(np.float32))
    assert len(state) == 4 * CONFIG.depth + 4, "the matrices of the blocks, patches, head, positions and class token"
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, CONFIG.width), state["pos_embed"]], dim=1)
    model.load_state_dict(state, strict=False)
    return model


FORMS = {"fp32": 1e-5, "fp16": 3e-3, "fp16 iOS 18": 3e-3, "int8": 1e-5, "int8 fp16": 3e-3, "palette": 1e-5}


@pytest.mark.parametrize("form", FORMS)
def test_whole_model_equals_torch(form: str, vit: ViT, shelf: dict[str, Path]) -> None:
    got = evaluate.Evaluator(shelf[form])(IMAGES)
    model = vit if form.startswith("fp") else dequantized(vit, shelf[form])
    assert got.shape == (5, CONFIG.classes) and got.dtype == np.float32
    assert error(got, model(torch.from_numpy(IMAGES)).numpy()) < FORMS[form]


@pytest.mark.parametrize(("form", "least"), [("fp16", 1e-5), ("int8", 1e-3), ("palette", 1e-2), ("torchao", 1e-3)])
def test_lower_precision_shows_in_the_logits(form: str, least: float, vit: ViT, shelf: dict[str, Path]) -> None:
    """The evaluator computes what the file stores, not what it once was."""
    assert least < error(evaluate.Evaluator(shelf[form])(IMAGES), vit(torch.from_numpy(IMAGES)).numpy()) < 0.2


@pytest.mark.parametrize("form", ["fp32", "fp16", "fp16 iOS 18", "torchao"])
def test_a_batch_equals_its_images_one_by_one(form: str, shelf: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate.Evaluator(shelf[form])(IMAGES)
    monkeypatch.setattr("targets.mil.program.CHUNK", 1)
    single = evaluate.Evaluator(shelf[form])
    one_by_one = np.concatenate([single(image[None]) for image in IMAGES])
    np.testing.assert_allclose(whole, one_by_one, rtol=1e-5 if form == "fp32" else 5e-3, atol=1e-5 if form == "fp32" else 2e-3)
    np.testing.assert_array_equal(single(IMAGES), one_by_one)
    assert len({tuple(logits) for logits in whole.tolist()}) == len(IMAGES)


def test_values_are_let_go_after_their_last_use(shelf: dict[str, Path]) -> None:
    plan = program(packages.read(shelf["fp32"]))
    values = plan.constants | {plan.image.place: torch.from_numpy(IMAGES[:1])}
    for step in plan.steps:
        step.run(values, plan.package)
    assert values.keys() == plan.constants.keys() | {plan.logits.place}


def test_integers_of_a_model_are_those_of_torchao(vit: ViT, shelf: dict[str, Path]) -> None:
    from torchao.quantization import IntxWeightOnlyConfig, PerAxis, quantize_

    ao = copy.deepcopy(vit)
    quantize_(ao, IntxWeightOnlyConfig(torch.int8, PerAxis(0)))
    found = integers(shelf["torchao"])
    linears = {name: module.weight for name, module in ao.named_modules() if isinstance(module, torch.nn.Linear)}
    assert len(found) == len(linears) == 4 * CONFIG.depth + 1
    for whole, scales in found.values():
        assert any(np.array_equal(whole, weight.qdata.numpy()) and scales.shape == (len(whole), 1) for weight in linears.values())


def test_models_in_float_hold_no_integers(shelf: dict[str, Path]) -> None:
    assert integers(shelf["fp32"]) == {}


@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 1, 24, 24), (1, 3, 32, 32), (1, 24, 24, 3)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...], shelf: dict[str, Path]) -> None:
    with pytest.raises(BadInput, match=r"takes \(N, 3, 24, 24\)"):
        evaluate.Evaluator(shelf["fp32"])(np.zeros(shape, np.float32))


def test_no_images_give_no_logits(shelf: dict[str, Path]) -> None:
    assert evaluate.Evaluator(shelf["fp32"])(np.zeros((0, 3, 24, 24), np.float32)).shape == (0, 7)


# Files that nobody should trust.


def spec_file(path: Path) -> Path:
    return path / "Data/com.apple.CoreML/model.mlmodel"


def weight_file(path: Path) -> Path:
    return path / "Data/com.apple.CoreML/weights/weight.bin"


def cut(file: Path, keep: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Alter the model spec in place."""
    spec = library.proto.Model_pb2.Model()
    spec.ParseFromString(spec_file(path).read_bytes())
    change(spec)
    spec_file(path).write_bytes(spec.SerializeToString())


def operations(spec: Any) -> Any:
    main = spec.mlProgram.functions["main"]
    return main.block_specializations[main.opset].operations


def weights(spec: Any) -> Any:
    return next(v.blobFileValue for op in operations(spec) for v in op.attributes.values() if v.HasField("blobFileValue"))


def link(file: Path) -> None:
    outside = file.parents[3] / "outside"
    shutil.move(file, outside)
    file.symlink_to(outside)


def move_weights(spec: Any) -> None:
    weights(spec).fileName = "@model_path/../../../secret/weight.bin"


def swap_output(spec: Any) -> None:
    main = spec.mlProgram.functions["main"]
    main.block_specializations[main.opset].outputs[0] = "nobody"


def take_image(spec: Any) -> None:
    spec.description.input[0].type.imageType.width = 24


def widen(spec: Any) -> None:
    spec.description.input[0].type.multiArrayType.shape[3] = 25


def halve(spec: Any) -> None:
    spec.description.output[0].type.multiArrayType.dataType = library.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT16


MANIFEST = "Manifest.json"
DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no package": ("no .mlpackage folder", shutil.rmtree),
    "a file": ("no .mlpackage folder", lambda p: (shutil.rmtree(p), p.write_text("not a folder"))),
    "no weights": ("no weights at", lambda p: weight_file(p).unlink()),
    "cut weights": ("cannot be read", lambda p: cut(weight_file(p), 0.5)),
    "empty weights": ("cannot be read", lambda p: weight_file(p).write_bytes(b"")),
    "no spec": ("no model spec", lambda p: spec_file(p).unlink()),
    "cut spec": ("not a Core ML model spec", lambda p: cut(spec_file(p), 0.6)),
    "empty spec": ("not an ML program", lambda p: spec_file(p).write_bytes(b"")),
    "huge spec": ("larger than", lambda p: spec_file(p).open("r+b").truncate(1 << 40)),
    "no manifest": ("cannot read .*Manifest", lambda p: (p / MANIFEST).unlink()),
    "cut manifest": ("Manifest", lambda p: cut(p / MANIFEST, 0.5)),
    "manifest without a root": ("which file is the model", lambda p: replace(p / MANIFEST, 'Identifier": "', 'Identifier": "x')),
    "manifest up and out": ("points outside", lambda p: replace(p / MANIFEST, "com.apple.CoreML/model", "../../model")),
    "manifest from the root": ("points outside", lambda p: replace(p / MANIFEST, "com.apple.CoreML/model", "/etc/model")),
    "manifest of a long name": ("no model spec", lambda p: replace(p / MANIFEST, "CoreML/model", "CoreML/" + "m" * 5000)),
    "a link to the weights": ("a link", lambda p: link(weight_file(p))),
    "a link to the spec": ("a link", lambda p: link(spec_file(p))),
    "weights up and out": ("weights outside", lambda p: edit(p, move_weights)),
    "weights beyond the end": ("cannot be read", lambda p: edit(p, lambda s: setattr(weights(s), "offset", 1 << 62))),
    "no main": ("no function main", lambda p: edit(p, lambda s: s.mlProgram.functions.clear())),
    "an output from nowhere": ("cannot be read", lambda p: edit(p, swap_output)),
    "two inputs": ("one input, not images, more", lambda p: edit(p, lambda s: s.description.input.add(name="more"))),
    "an image of another size": ("no RGB image of one size", lambda p: edit(p, take_image)),
    "another shape": (r"described as \(1, 3, 24, 25\)", lambda p: edit(p, widen)),
    "another type": ("no array of floats", lambda p: edit(p, halve)),
}  # fmt: skip


@pytest.fixture
def copied(shelf: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(shelf["fp32"], tmp_path / "copy.mlpackage"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_package_is_refused_in_plain_words(damage: str, copied: Path) -> None:
    message, harm = DAMAGE[damage]
    harm(copied)
    with pytest.raises(DamagedFile, match=message) as refusal:
        evaluate.Evaluator(copied)
    assert "\n" not in refusal.value.message and str(copied) in refusal.value.message


def test_unknown_operation_is_named_before_anything_is_evaluated(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(copied, lambda spec: setattr(operations(spec)[-1], "type", "warp"))
    monkeypatch.setattr("targets.mil.program.Step.run", lambda *_: pytest.fail("evaluated"))
    with pytest.raises(EdgevitError, match=r"operation warp \(logits\) in .*copy\.mlpackage") as refusal:
        evaluate.Evaluator(copied)
    assert refusal.value.hint and not isinstance(refusal.value, BadInput)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, targets.mil; print([name for name in ('torch', 'coremltools', 'numpy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

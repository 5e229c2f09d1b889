"""What the readers of model files find, beside what each format's own library says; and that they believe no offset."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from edgevit.errors import BadInput, DamagedFile, NoRuntime
from edgevit.types import Contents, Layer
from targets import files
from targets.files.executorch import delegated
from targets.files.parts import Constant, layers, part, plain

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """`make fuzz` with four files of each kind, which makes one artifact of each format besides; and where they are."""
    import targets

    if absent := [name for name in ("executorch", "tflite", "coreml") if targets.missing(targets.get(name))]:
        pytest.skip(f"not installed: {', '.join(absent)}")
    work = tmp_path_factory.mktemp("fuzz")
    ran = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "fuzz.py", "--count", "4", "--work", work],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=500,
    )  # fmt: skip
    return ran, work / "good" / "export"


Fuzzed = tuple[subprocess.CompletedProcess[str], Path]


@pytest.fixture(scope="module")
def tflite(fuzzed: Fuzzed) -> Path:
    return fuzzed[1] / "tflite-int8" / "model.tflite"


@pytest.fixture(scope="module")
def package(fuzzed: Fuzzed) -> Path:
    return fuzzed[1] / "coreml-int8" / "model.mlpackage"


@pytest.fixture(scope="module")
def program(fuzzed: Fuzzed) -> Path:
    return fuzzed[1] / "executorch-int8" / "model.pte"


@pytest.mark.slow
def test_damaged_files_end_in_one_error(fuzzed: Fuzzed) -> None:
    ran, _ = fuzzed
    assert ran.returncode == 0 and "20 files, " in ran.stdout and " 0 findings" in ran.stdout, ran.stdout + ran.stderr[-3000:]
    for command in ("inspect", "verify", "check"):
        assert {f"exit {code}" in ran.stdout for code in (0, 1, 2)} == {True} and command in ran.stdout


def test_the_fuzz_sees_what_is_wrong() -> None:
    """A traceback, two errors, an exit code that is not ours, a crash and a standstill; and what came after those."""
    code = """
import os, sys, time
sys.path.insert(0, "benchmarks")
import fuzz, warm
said = ["Traceback (most recent call last)", "error: a\\nerror: b", "", "error: a", "error: a", ""]
codes, outputs = [1, 1, 3, 2, 1, 0], ["", "", "", "", "", "{}"]
print([fuzz.judged(code, output, one)[0] for code, output, one in zip(codes, outputs, said)])
warm.commanded = lambda what: {"a": os.abort, "s": lambda: time.sleep(60), "f": lambda: (0, "{}", "")}[what[0]]()
print([code for code, *_ in warm.run([["f"], ["a"], ["f"], ["s"], ["f"]], 2)])
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["['traceback', '2 errors', 'exit code 3', '', '', '']", "[0, -6, 0, -9, 0]"]


def _layer(found: Contents, *words: str) -> Layer:
    return next(layer for layer in found.layers if all(word in layer.name for word in words))


def _adds_up(found: Contents) -> None:
    assert 0 < sum(layer.bytes for layer in found.layers) <= found.bytes
    assert sum(layer.bytes for layer in found.parts(5)) == sum(layer.bytes for layer in found.layers)
    assert all(layer.share == layer.bytes / found.bytes for layer in found.layers)


def test_tflite_as_its_own_reader_has_it(tflite: Path) -> None:
    utils = pytest.importorskip("ai_edge_litert.tools.flatbuffer_utils")
    from ai_edge_litert import schema_py_generated as schema

    model = utils.read_model(str(tflite))
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    theirs = Counter(names[model.operatorCodes[o.opcodeIndex].builtinCode] for o in model.subgraphs[0].operators)
    found = files.read(tflite)
    assert {o.name: o.count for o in found.operators} == theirs
    held = sum(len(b.data) for b in model.buffers if b.data is not None)
    kept = sum(len(model.buffers[m.buffer].data) for m in model.metadata or [])
    assert sum(layer.bytes for layer in found.layers) == held - kept
    (entering,) = found.inputs
    assert (entering.dtype, entering.shape) == ("float32", (1, 16, 16, 3)) and found.outputs[0].shape == (1, 3)
    mlp = _layer(found, "mlp.fc1")
    assert mlp.dtype == "int8 per channel" and mlp.part.startswith("block ") and mlp.part.endswith(" MLP")
    assert {"embedding", "head"} < {layer.part for layer in found.layers}
    _adds_up(found)


def test_package(package: Path) -> None:
    found = files.read(package)
    kinds = {o.name: o.count for o in found.operators}
    assert kinds["linear"] == kinds["constexpr_affine_dequantize"] and "iOS 17" in found.wants and "const" not in kinds
    assert [(port.name, port.dtype, port.shape) for port in found.inputs] == [("images", "float32", (1, 3, 16, 16))]
    layer, blob = _layer(found, "blocks_0", "qkv"), next(package.rglob("weight.bin"))
    assert layer.dtype == "int8 per channel" and layer.part == "block 0 attention"
    assert 0.5 * blob.stat().st_size < sum(layer.bytes for layer in found.layers) < blob.stat().st_size
    assert dict(found.metadata)["com.github.apple.coremltools.source_dialect"] == "TorchExport::ATEN"
    _adds_up(found)


def test_package_for_images_with_labels(package: Path, tmp_path: Path) -> None:
    from targets.mil.library import proto

    copy = shutil.copytree(package, tmp_path / "model.mlpackage")
    path = next(copy.rglob("*.mlmodel"))
    spec = proto.Model_pb2.Model()
    spec.ParseFromString(path.read_bytes())
    image = spec.description.input[0].type.imageType
    image.width, image.height, image.colorSpace = 16, 16, image.ColorSpace.Value("RGB")
    spec.description.metadata.author = "somebody"
    spec.description.metadata.userDefined["labels"] = "red, green"
    path.write_bytes(spec.SerializeToString())
    found = files.read(copy)
    assert (found.inputs[0].dtype, found.inputs[0].shape, found.inputs[0].colours) == ("image", (16, 16, 3), "RGB")
    assert {("author", "somebody"), ("labels", "red, green")} <= set(found.metadata)


def test_program(program: Path) -> None:
    found = files.read(program)
    (delegate,) = found.delegates
    mine = [o for o in found.operators if o.by == "XnnpackBackend"]
    assert (delegate.name, delegate.subgraphs, delegate.nodes) == ("XnnpackBackend", 1, sum(o.count for o in mine))
    assert [(o.name, o.count) for o in found.operators if not o.by] == [("call of XnnpackBackend", 1)]
    assert (found.inputs[0].shape, found.outputs[0].shape) == ((1, 3, 16, 16), (1, 3))
    assert sum(layer.dtype == "int8 per channel" for layer in found.layers) > 8
    assert delegate.bytes and 0.8 * found.bytes < delegate.bytes < found.bytes
    _adds_up(found)


def test_a_delegate_of_another_version_is_a_note(program: Path, tmp_path: Path) -> None:
    content = program.read_bytes()
    assert content.count(b"XH00") == 1
    (tmp_path / "model.pte").write_bytes(content.replace(b"XH00", b"XH99"))
    found = files.read(tmp_path / "model.pte")
    assert [(d.name, d.nodes) for d in found.delegates] == [("XnnpackBackend", None)] and "its graph was not read" in found.notes[
        0
    ]


def test_what_the_one_delegate_is_given(program: Path, tmp_path: Path) -> None:
    given = delegated(program, "XnnpackBackend")
    assert b"XH00" in given[:8] and given in program.read_bytes()
    with pytest.raises(NoRuntime, match="1 steps and the delegates XnnpackBackend"):
        delegated(program, "CoreMLBackend")
    content = program.read_bytes()
    (tmp_path / "cut.pte").write_bytes(content[: content.index(b"XH00") + 50])
    with pytest.raises(DamagedFile):
        delegated(tmp_path / "cut.pte", "XnnpackBackend")


@pytest.mark.slow
def test_program_as_executorch_reads_it(program: Path) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary

    theirs = deserialize_pte_binary(program.read_bytes()).program
    plan = next(plan for plan in theirs.execution_plan if plan.name == "forward")  # the others say what the program is
    found = files.read(program)
    assert [d.id for d in plan.delegates] == [d.name for d in found.delegates]
    (delegate,) = plan.delegates
    assert delegated(program, delegate.id) == bytes(theirs.backend_delegate_data[delegate.processed.index].data)
    assert [tuple(plan.values[i].val.sizes) for i in plan.inputs] == [port.shape for port in found.inputs]


@pytest.mark.slow
def test_constant_methods_of_a_program(tmp_path: Path) -> None:
    import torch
    from executorch.exir import to_edge_transform_and_lower

    constants = {"labels": "red,green", "mean": [0.5, 0.25], "size": [16, 16], "n": 3, "on": True, "t": torch.tensor([1.0, 2.0])}
    exported = torch.export.export(torch.nn.Linear(4, 2), (torch.zeros(1, 4),))
    made = to_edge_transform_and_lower(exported, constant_methods=constants).to_executorch()
    (tmp_path / "model.pte").write_bytes(made.buffer)
    found = files.read(tmp_path / "model.pte")
    wanted = {"labels": "red,green", "mean": "0.5, 0.25", "size": "16, 16", "n": "3", "on": "true", "t": "[1, 2]"}
    assert dict(found.metadata) == {f"method {name}": value for name, value in wanted.items()}
    assert found.delegates == () and {o.by for o in found.operators} == {""}


def _described(model: Any, schema: Any) -> bytes:
    """TFLITE_METADATA as app developers write it."""
    flatbuffers = pytest.importorskip("flatbuffers")
    told, graph, image = schema.ModelMetadataT(), schema.SubGraphMetadataT(), schema.TensorMetadataT()
    told.name, told.author, told.subgraphMetadata = "colours", "somebody", [graph]
    image.name, image.description, image.content = "pixels", "an image", schema.ContentT()
    image.content.contentPropertiesType, image.content.contentProperties = 2, schema.ImagePropertiesT()
    image.content.contentProperties.colorSpace = 1
    unit, options = schema.ProcessUnitT(), schema.NormalizationOptionsT()
    options.mean, options.std = [127.5], [64.0]
    unit.optionsType, unit.options = 1, options
    image.processUnits, graph.inputTensorMetadata = [unit], [image]
    builder = flatbuffers.Builder()
    builder.Finish(told.Pack(builder), b"M001")
    return bytes(builder.Output())


def test_metadata_of_tflite_and_the_zip_behind_it(tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    told = pytest.importorskip("tensorflow_lite_support.metadata.metadata_schema_py_generated")
    utils = pytest.importorskip("ai_edge_litert.tools.flatbuffer_utils")
    from ai_edge_litert import schema_py_generated as schema

    model = utils.read_model(str(tflite))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_described(model, told), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers) - 1
    model.metadata.append(entry)
    path = tmp_path / "told.tflite"
    utils.write_model(model, str(path))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as behind:
        behind.writestr("labels.txt", "red\ngreen\n")
        behind.writestr("bomb", bytes(50 << 20))
    found = files.read(path)
    (port,) = found.inputs
    assert (port.name, port.words, port.colours, port.mean, port.std) == ("pixels", "an image", "RGB", (127.5,), (64.0,))
    wanted = {("name", "colours"), ("author", "somebody"), ("file labels.txt", "10 bytes"), ("file bomb", f"{50 << 20} bytes")}
    assert wanted <= set(found.metadata)


def test_buffers_behind_the_flatbuffer(tflite: Path, tmp_path: Path) -> None:
    """As ai-edge-quantizer writes them; and one that ends behind the file's end is refused."""
    utils = pytest.importorskip("ai_edge_litert.tools.flatbuffer_utils")
    flatbuffers = pytest.importorskip("flatbuffers")
    model = utils.read_model(str(tflite))
    largest = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    content, largest.data = bytes(largest.data), None
    largest.size = len(content)
    for offset in (1 << 20, (1 << 20) + 1):
        largest.offset = offset
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        path = tmp_path / f"{offset}.tflite"
        path.write_bytes(bytes(builder.Output()).ljust(1 << 20, b"\0") + content)
        if offset == 1 << 20:
            found = files.read(path)
            assert max(layer.bytes for layer in found.layers) >= len(content)
        else:
            with pytest.raises(DamagedFile, match="cut or damaged"):
                files.read(path)


@pytest.mark.parametrize("kind", ["tflite", "program"])
def test_whatever_is_changed_it_is_read_or_refused(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    good = request.getfixturevalue(kind)
    content, random, path = good.read_bytes(), Random(0), tmp_path / good.name
    outcomes = Counter()
    for _ in range(150):
        bad = bytearray(content)
        for _ in range(random.choice((1, 4, 40))):
            place = random.randrange(random.choice((64, 4096, len(bad))))
            bad[place] = random.choice((0, 1, 0x7F, 0xFF, random.randrange(256)))
        path.write_bytes(bad[: random.choice((len(bad), random.randrange(len(bad))))])
        try:
            _adds_up(files.read(path))
            outcomes["read"] += 1
        except BadInput as error:
            assert error.message
            outcomes["refused"] += 1
    assert outcomes["read"] > 5 and outcomes["refused"] > 5, outcomes


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"\x1c\0\0\0TFL3"), "cut or damaged"),
        (lambda path: path.mkdir(), "no model in the folder"),
        (os.mkfifo, "neither a file nor a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "neither a file nor a folder"),
    ],
    ids=["none", "empty", "head", "folder", "pipe", "device"],
)
def test_what_is_no_model(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    make(tmp_path / "model.tflite")
    with pytest.raises(BadInput, match=words):
        files.read(tmp_path / "model.tflite")


def test_a_table_named_a_million_times_is_not_read_a_million_times(tmp_path: Path) -> None:
    """A vector of offsets that all lead to one table: the file is small, and what it unfolds to is not."""
    from targets.files import tables

    content = bytearray(4 + 4 + (4 + 4 * 3000))
    content[0:4] = (8).to_bytes(4, "little")
    (tmp_path / "small").write_bytes(content)
    file = tables.opened(tmp_path / "small")
    file.left = 100
    with pytest.raises(DamagedFile, match="more than"):
        for _ in range(101):
            file.table(8)


def test_constants_are_no_more_than_the_file() -> None:
    with pytest.raises(DamagedFile, match="bytes of constants"):
        layers([Constant("a", "int8", 60), Constant("b", "int8", 60)], 100, "file")
    assert [layer.bytes for layer in layers([Constant("a_weight", "int8", 60), Constant("a_bias", "int8", 4)], 100, "f")] == [64]


@pytest.mark.parametrize(
    ("name", "layer", "where"),
    [
        ("a.b.Model/a.b.Encoder_11/a.b.Mlp_mlp/torch.nn.Linear_fc1;1", "Encoder_11.mlp.fc1", "block 11 MLP"),
        ("p_blocks_0_attention_qkv_weight_to_fp16_quantized", "blocks_0_attention_qkv", "block 0 attention"),
        ("p_blocks_3_mlp_fc1_weight_to_fp16", "blocks_3_mlp_fc1", "block 3 MLP"),
        ("vit.encoder.layer.3.attention.attention.query.weight", "vit.encoder.layer.3.attention.attention.query.weight",
         "block 3 attention"),
        ("p_patches_proj_bias_to_fp16", "patches_proj", "embedding"),
        ("head.weight", "head.weight", "head"),
        ("arith.constant2", "arith.constant2", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_names_tell_parts(name: str, layer: str, where: str) -> None:
    assert (plain(name), part(plain(name))) == (layer, where)


def test_nothing_heavy_is_loaded_to_read_a_program_or_tflite(tflite: Path, program: Path) -> None:
    read = f"[files.read(Path(p)) for p in {[str(tflite), str(program)]!r}]"
    code = f"import sys; from pathlib import Path; from targets import files; {read}; "
    code += "print(sorted({'torch', 'executorch', 'coremltools', 'tensorflow'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

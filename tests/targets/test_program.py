"""An ExecuTorch program says what it is, is refused where it is too new, lists its operators, and carries its own test."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import quantize
import targets
from edgevit import artifact as artifacts
from edgevit import folder, methods, pipeline
from edgevit.artifact import Golden
from edgevit.checks.description import differs
from edgevit.data.preprocess import normalise
from edgevit.errors import BadInput, DamagedFile, LoadFailed
from edgevit.jobs.answers import load
from edgevit.jobs.program import bundle
from edgevit.types import Artifact, Described, Input, Outcome, Preprocess, Verified, silent
from edgevit.versions import versions
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from targets import program as of_programs

exir = pytest.importorskip("executorch.exir")

SHAPE = dataclasses.replace(config("Pico/8", (16, 16), 5), depth=1)
PREPROCESS = Preprocess((18, 18), (16, 16), mean=(0.25, 0.5, 0.5))
LABELS = ("röd", 'a "b"', "c,\nd", "", "e")
HERE = versions("executorch")
RunCli = Callable[..., subprocess.CompletedProcess[str]]


def convert(into: Path) -> Path:
    """A program of pixels, of which one operator stays outside the delegate."""
    import converters
    from converters.order import Order

    torch.manual_seed(0)
    model = ViT(SHAPE).eval().requires_grad_(False)
    torch.nn.init.normal_(model.head.weight)
    order = Order(model, quantize.get("fp32"), torch.randn(4, 3, 16, 16), PREPROCESS, LABELS, Input.PIXELS)
    converters.convert("executorch", order, into, silent)
    return into / "model.pte"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(tmp_path_factory.mktemp("program"))


def record(program: Path, **changes: Any) -> Artifact:
    recipe, target = quantize.get("fp32"), targets.get("executorch")
    made = Artifact(
        "executorch", "fp32", Outcome.PASS, quantization=recipe, input=Input.PIXELS, file=program.name, folder=program.parent,
        config=SHAPE, preprocess=PREPROCESS, labels=LABELS, tolerance=target.recipes["fp32"], runtime=target.runtime,
        versions=versions("torch", "executorch", "torchao"), checkpoint="gone",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


@pytest.fixture
def artifact(program: Path, tmp_path: Path) -> Artifact:
    """As an export leaves it, but for the checkpoint."""
    into = tmp_path / "artifact"
    into.mkdir()
    for file in program.parent.iterdir():
        (into / file.name).write_bytes(file.read_bytes())
    images = normalise(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8), PREPROCESS)
    made = record(into / program.name)
    logits = load(made)(images)
    artifacts.write_golden(into, Golden(images, np.arange(6) % 5, logits + 1, logits))
    return sealed(made)


def sealed(made: Artifact) -> Artifact:
    files = folder.hashes(made.folder, leave_out=(artifacts.RECORD,))
    return artifacts.write(made.folder, dataclasses.replace(made, files=files))


def test_it_says_what_it_is(program: Path) -> None:
    here = {name: HERE[name] for name in ("edgevit", "executorch")}
    assert targets.described("executorch", program) == Described(LABELS, PREPROCESS, Input.PIXELS, here)


def test_any_runtime_reads_it(program: Path) -> None:
    """As an app does, by the names of the methods, without edgevit."""
    from executorch.extension.pybindings import _portable_lib as runtime

    module: Any = runtime._load_for_executorch(str(program))
    assert set(module.method_names()) == {"forward", "labels", "preprocess", "input", "edgevit", "runtime"}
    assert json.loads(module.run_method("labels", [])[0]) == list(LABELS)
    assert json.loads(module.run_method("preprocess", [])[0])["mean"] == [0.25, 0.5, 0.5]
    assert module.run_method("runtime", []) == [HERE["executorch"]]


def test_made_again_it_is_the_same(program: Path, tmp_path: Path) -> None:
    convert(tmp_path)
    assert folder.hashes(tmp_path) == folder.hashes(program.parent)


def test_the_operators_are_those_that_the_program_calls(program: Path) -> None:
    """By another reader than ExecuTorch's generator of the list; and what reads such lists in a build takes ours."""
    from executorch.exir._serialize._program import deserialize_pte_binary
    from torchgen.selective_build.selector import SelectiveBuilder

    plans = deserialize_pte_binary(program.read_bytes()).program.execution_plan
    called = {f"{op.name}.{op.overload}" for plan in plans for op in plan.operators}
    listed = program.with_name("operators.yaml")
    selected = SelectiveBuilder.from_yaml_path(str(listed))
    assert selected.operators.keys() == selected.et_kernel_metadata.keys() == called == {"dim_order_ops::_to_dim_order_copy.out"}
    assert not selected.include_all_operators
    assert listed.read_text().startswith("# delegates to link besides: XnnpackBackend\n")


OWN = {
    "labels": '["a"]', "preprocess": '{"resize":[8,8],"crop":[8,8]}', "input": "tensor",
    "edgevit": "0.1.0", "runtime": HERE.get("executorch", ""),
}  # fmt: skip


def small(file: Path, says: dict[str, object]) -> Path:
    """A program of one Linear, which no delegate takes, with these constant methods."""
    exported = torch.export.export(torch.nn.Linear(4, 2), (torch.zeros(1, 4),))
    file.write_bytes(exir.to_edge(exported, constant_methods=says).to_executorch().buffer)
    return file


def answers(file: Path) -> bool:
    return targets.load("executorch", file)(np.zeros((1, 4), np.float32)).shape == (1, 2)


def test_a_program_for_a_newer_runtime_is_refused(tmp_path: Path) -> None:
    file = small(tmp_path / "model.pte", {**OWN, "runtime": "99.0.0"})
    with pytest.raises(LoadFailed) as caught:
        targets.load("executorch", file)
    assert f"made for ExecuTorch 99.0.0, and {HERE['executorch']} is installed here" in caught.value.message


@pytest.mark.parametrize("made_for", ["1.4.1", "1.4.0a0+abc", "1.4"])
@pytest.mark.parametrize(
    ("here", "taken"),
    [("1.3.9", False), ("0.9.0", False), ("1.4.0", True), ("1.4.9", True), ("1.10.0", True), ("2.0.0", True), (None, True)],
)
def test_a_runtime_as_new_or_newer_takes_it(
    made_for: str, here: str | None, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_programs, "version", lambda package: here)
    with contextlib.nullcontext() if taken else pytest.raises(LoadFailed, match=f"{here} is installed"):
        of_programs.require_runtime(Path("model.pte"), made_for)


def test_the_programs_of_others_are_loaded_as_before(tmp_path: Path) -> None:
    silent_ = small(tmp_path / "silent.pte", {})
    other = small(tmp_path / "other.pte", {"labels": 7, "runtime": "99.0", "get_n_bos": [1, 2]})
    assert answers(silent_) and answers(other)
    assert targets.described("executorch", silent_) is targets.described("executorch", other) is None


@pytest.mark.parametrize(
    "change",
    [
        {"labels": "a, b"}, {"labels": "[1]"}, {"labels": "[" * 5000}, {"preprocess": "{}"}, {"input": "bytes"},
        {"preprocess": '{"resize":[8,8],"crop":[9,9]}'},
    ],
    ids=lambda change: str(change)[:40],
)  # fmt: skip
def test_a_text_that_is_none_of_ours(change: dict[str, str]) -> None:
    assert methods.read(OWN.__getitem__).labels == ("a",)
    with pytest.raises(DamagedFile):
        methods.read({**OWN, **change}.__getitem__)


@pytest.mark.parametrize("runtime", ["new", 3, ["1.4", "1.4"], torch.zeros(2)], ids=["word", "number", "two", "tensor"])
def test_a_version_that_is_none(tmp_path: Path, runtime: object) -> None:
    with pytest.raises(DamagedFile):
        targets.described("executorch", small(tmp_path / "model.pte", {**OWN, "runtime": runtime}))


def test_a_method_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="no constant method labels"):
        targets.described("executorch", small(tmp_path / "m.pte", {k: v for k, v in OWN.items() if k != "labels"}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": (*LABELS[:3], "x", "e")}, "class 3 is '', and not 'x'"),
        ({"labels": LABELS[1:]}, "its labels are 5, and not 4"),
        ({"preprocess": dataclasses.replace(PREPROCESS, mean=(0.5, 0.5, 0.5), crop=(14, 14))}, "another crop, mean"),
        ({"input": Input.TENSOR}, "it takes pixels, and not tensor"),
        ({"versions": {"executorch": "1.0"}}, "and not 1.0"),
    ],
)
def test_each_difference_is_named(program: Path, change: dict[str, Any], words: str) -> None:
    found = targets.described("executorch", program)
    assert found and differs(found, record(program)) == "" and differs(Described(), record(program)) == ""
    assert words in differs(found, record(program, **change))


def holds(found: Verified) -> dict[str, bool | None]:
    return {one.what: one.holds for one in found.looked}


def test_verify_compares_the_record_with_the_file(artifact: Artifact) -> None:
    found = holds(pipeline.verify(artifact.folder, None, silent))
    assert found == {"files and record": True, "versions": True, "metadata": True, "golden batch": True, "checkpoint": None}
    sealed(dataclasses.replace(artifact, labels=tuple(reversed(LABELS))))
    verified = pipeline.verify(artifact.folder, None, silent)
    assert holds(verified) == {**found, "metadata": False} and not verified.holds


def test_a_bundle_passes_its_own_test_and_holds_the_program(artifact: Artifact, tmp_path: Path) -> None:
    made = pipeline.bundle(artifact.folder, tmp_path / "new" / "model.bpte", 4, False, silent)
    assert (made.passed, made.images, made.reason) == (True, 4, "") and made.expected.startswith("the artifact's own")
    content = made.file.read_bytes()
    assert (artifact.folder / "model.pte").read_bytes() in content and made.bytes == len(content)
    assert [file.name for file in made.file.parent.iterdir()] == ["model.bpte"]
    assert artifacts.verify(artifact)


def test_a_bundle_of_other_outputs_fails_its_test(artifact: Artifact, run_cli: RunCli, tmp_path: Path) -> None:
    golden = artifacts.read_golden(artifact.folder, SHAPE)
    assert golden.artifact_logits is not None
    other = golden.artifact_logits.copy()
    other[2] = other[2, ::-1]
    artifacts.write_golden(artifact.folder, dataclasses.replace(golden, artifact_logits=other))
    sealed(artifact)
    ran = run_cli("bundle", artifact.folder, "--out", tmp_path / "model.bpte", "--json")
    assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
    found = json.loads(ran.stdout)
    assert found["passed"] is False and found["reason"].startswith("image 2: ")


def test_what_nothing_ran_is_bundled_with_the_checkpoints_answers(artifact: Artifact, tmp_path: Path) -> None:
    golden = artifacts.read_golden(artifact.folder, SHAPE)
    artifacts.write_golden(artifact.folder, dataclasses.replace(golden, logits=-golden.logits, artifact_logits=None))
    made = bundle(artifact, 1, tmp_path / "model.bpte", silent)
    assert made.expected.startswith("the checkpoint's") and made.passed is False, "its logits are others here"


def test_where_a_bundle_may_not_go(artifact: Artifact, tmp_path: Path) -> None:
    def refused(out: Path, force: bool = False, images: int = 4) -> str:
        with pytest.raises(BadInput) as caught:
            pipeline.bundle(artifact.folder, out, images, force, silent)
        return caught.value.message

    (tmp_path / "notes.txt").write_text("of a person's own")
    (tmp_path / "old.bpte").write_bytes(b"\0\0\0\0BP08")
    assert "within the artifact" in refused(artifact.folder / "model.bpte")
    assert "not a bundled program" in refused(tmp_path / "notes.txt", force=True)
    assert "already there" in refused(tmp_path / "old.bpte")
    assert "not a file" in refused(tmp_path, force=True)
    assert "holds 6" in refused(tmp_path / "new.bpte", images=7)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["artifact", "notes.txt", "old.bpte"]
    sealed(dataclasses.replace(artifact, target="tflite"))
    assert "tflite has no bundled program" in refused(tmp_path / "new.bpte")

"""edgevit parity: the same file, the same pixels, the same tensor, the same answer; and each thing that is not is found."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgevit import app, pipeline
from edgevit import artifact as artifacts
from edgevit.errors import BadInput, DamagedFile
from edgevit.jobs import parity as job
from edgevit.types import Artifact, Input, Preprocess, silent
from tests.app.conftest import PAIRS, REFUSED, picture, record

Exports = Callable[..., Path]
STAGES = ["decoded", "resized", "tensor", "runner", "generated"]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "input"), PAIRS)
def test_fifty_odd_images_agree_or_are_refused_by_name(
    exports: Exports, odd: list[Path], run_cli: Any, target: str, input: str
) -> None:
    ran = run_cli("parity", exports(target, input), *odd, "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    images = {Path(image["image"]).name: image for image in found["compared"]["images"]}
    assert found["holds"] and found["changed"] == [] and len(images) >= 50
    assert {name for name, image in images.items() if image["refused"]} == REFUSED
    assert all(name in images[name]["refused"] or "900000 x 1" in images[name]["refused"] for name in REFUSED)
    expected = [stage for stage in STAGES if stage != "tensor" or input == "tensor"]
    for name in images.keys() - REFUSED:
        stages = images[name]["stages"]
        assert [stage["name"] for stage in stages] == expected, name
        assert all(stage["difference"] <= stage["allowed"] for stage in stages), (name, stages)
        assert images[name]["runner"] == images[name]["generated"] is not None


def test_what_people_see(exports: Exports, odd: list[Path], run_cli: Any) -> None:
    ran = run_cli("parity", exports("tflite", "tensor"), *odd[:6], next(path for path in odd if path.name == "sixteen.png"))
    assert ran.returncode == 0, ran.stderr
    assert "refused by all: pixels of type I;16, not 8 bits a channel" in ran.stderr
    assert "7 images: 6 agree, 1 are refused by all; 0 other answers than in torch" in ran.stderr


@pytest.fixture
def copy(exports: Exports, tmp_path: Path) -> Artifact:
    """Where its checkpoint is not beside it."""
    shutil.copytree(exports("tflite", "tensor"), tmp_path / "copy")
    return artifacts.read(tmp_path / "copy")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    picture(60, 40).save(tmp_path / "image.jpg")
    return tmp_path / "image.jpg"


def test_without_its_checkpoint_the_code_is_compared_with_the_runner(copy: Artifact, image: Path) -> None:
    found = pipeline.parity(copy.folder, [image], None, silent)
    (one,) = found.compared.images
    stages = {stage.name: stage for stage in one.stages}
    assert found.holds and found.reference.startswith("none: no checkpoint at") and one.training is None
    assert stages["runner"].difference is None and stages["generated"].difference == 0


def _forged(artifact: Artifact) -> None:
    """Every hash in order."""
    files = artifacts.folder.hashes(artifact.folder, leave_out=(artifacts.RECORD,))
    artifacts.write(artifact.folder, dataclasses.replace(artifact, files=files))


def test_code_of_others_is_named_and_never_run(copy: Artifact, image: Path, tmp_path: Path, run_cli: Any) -> None:
    code, trace = copy.folder / app.FOLDER / app.PYTHON, tmp_path / "it ran"
    code.write_text(f"open({str(trace)!r}, 'w').close()\n" + code.read_text())
    with pytest.raises(DamagedFile, match=r"changed since the export.*classify\.py"):
        pipeline.parity(copy.folder, [image], None, silent)
    (copy.folder / app.FOLDER / "more.py").write_text("")
    _forged(copy)
    ran = run_cli("parity", copy.folder, image)
    assert ran.returncode == 1 and not trace.exists()
    for name in ("classify.py", "more.py"):
        assert f"{name} is not what this edgevit writes for the record" in ran.stderr


def test_an_artifact_without_code_is_refused(copy: Artifact, image: Path) -> None:
    shutil.rmtree(copy.folder / app.FOLDER)
    _forged(copy)
    with pytest.raises(BadInput, match="no code for apps"):
        pipeline.parity(copy.folder, [image], None, silent)


def test_an_image_that_is_not_there_is_refused(copy: Artifact, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such image"):
        pipeline.parity(copy.folder, [tmp_path / "none.jpg"], None, silent)


@pytest.mark.parametrize("file", ['model.tflite"\nimport os', "../model.tflite", "", "a b", "модель", '"'])
def test_a_record_puts_no_words_into_code(file: str, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="no name that an export gives"):
        app.write(record(Preprocess((16, 16), (16, 16)), Input.TENSOR, file), ("python-litert",), tmp_path / "app")


@pytest.mark.parametrize(
    ("line", "instead", "stage"),
    [
        ("_upright(image).convert", "image.convert", "decoded"),
        ("Image.Resampling.B", "Image.Resampling.NEAREST if True else Image.Resampling.B", "resized"),
        ("(width - WIDTH) // 2", "(width - WIDTH) // 2 + 1", "resized"),
        ("np.float32(255)", "np.float32(256)", "tensor"),
        ("        return answer\n", "        return answer[::-1]\n", "generated"),
        ("    if image.mode not in MODES:", "    if True:", "decoded"),
    ],
)
def test_wrong_code_is_found_at_its_stage(copy: Artifact, tmp_path: Path, line: str, instead: str, stage: str) -> None:
    code = copy.folder / app.FOLDER / app.PYTHON
    assert line in code.read_text()
    code.write_text(code.read_text().replace(line, instead))
    exif = picture(1, 1).getexif()
    exif[274] = 6
    picture(60, 40).save(tmp_path / "turned.jpg", exif=exif)
    found = job.parity(copy, code, (tmp_path / "turned.jpg",), None, "", silent)
    broken = [stage.name for stage in found.images[0].stages if not stage.holds]
    assert broken[0] == stage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "input", "recipe"),
    [
        ("tflite", "tensor", "int8"),
        ("tflite", "tensor", "int8-static"),
        ("executorch", "pixels", "int8"),
        ("coreml", "pixels", "fp16"),
    ],
)
def test_integers_and_other_runtimes(
    exports: Exports, odd: list[Path], run_cli: Any, target: str, input: str, recipe: str
) -> None:
    ran = run_cli("parity", exports(target, input, recipe), *odd, "--json")
    found = json.loads(ran.stdout)
    assert ran.returncode == 0, ran.stderr + str([image for image in found["compared"]["images"] if image["stages"]][:1])
    assert found["holds"]

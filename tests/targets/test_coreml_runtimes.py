"""Core ML on each compute unit, with a stand-in that notes what it is asked for and answers as the evaluator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edgevit.errors import NoRuntime, UnknownName

pytest.importorskip("targets.mil.library")  # before coremltools: it imports it without TensorFlow
ct = pytest.importorskip("coremltools")
mb = pytest.importorskip("coremltools.converters.mil.mil").Builder

from targets import coreml, coreml_ane, coreml_ios16, coreml_ios18  # noqa: E402
from targets.mil.evaluate import Evaluator  # noqa: E402

IMAGES = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype(np.float32)
WEIGHT = np.random.default_rng(1).normal(size=(5, 48)).astype(np.float32)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    @mb.program(input_specs=[mb.TensorSpec((1, 3, 4, 4))], opset_version=ct.target.iOS16)
    def whole(images: Any) -> Any:
        return mb.linear(x=mb.reshape(x=images, shape=[1, 48]), weight=WEIGHT, name="logits")

    path = tmp_path_factory.mktemp("runtimes") / "model.mlpackage"
    precision = ct.precision.FLOAT32
    ct.convert(whole, minimum_deployment_target=ct.target.iOS16, compute_precision=precision, skip_model_load=True).save(
        str(path)
    )
    return path


class StandIn:
    """Takes one image at a time, as Core ML does, and keeps the units that it was loaded for."""

    units: ClassVar[list[Any]] = []

    def __init__(self, path: str, compute_units: Any) -> None:
        StandIn.units.append(compute_units)
        self._evaluator = Evaluator(Path(path))

    def predict(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert given.keys() == {"images"} and given["images"].shape == (1, 3, 4, 4)
        return {"logits": self._evaluator(given["images"])}


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ct.models, "MLModel", StandIn)
    monkeypatch.setattr(StandIn, "units", [])
    return StandIn.units


def test_each_runtime_asks_for_its_unit(package: Path, mac: list[Any]) -> None:
    wanted = coreml.load_in("evaluator", package, None)(IMAGES)
    assert mac == []
    for runtime in coreml.NAMES[:-1]:
        runner = coreml.load_in(runtime, package, None)
        assert runner.where == "host"
        np.testing.assert_allclose(runner(IMAGES), wanted, rtol=1e-5, atol=1e-6)
    assert [unit.name for unit in mac] == ["CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE", "ALL"]


def test_a_mac_loads_for_all_units_where_none_is_named(package: Path, mac: list[Any]) -> None:
    for target in (coreml, coreml_ane, coreml_ios16, coreml_ios18):
        target.load(package, None)
    assert {unit.name for unit in mac} == {"ALL"} and len(mac) == 4


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML is here")
def test_elsewhere_only_the_evaluator_runs_it(package: Path) -> None:
    assert coreml.load(package, None).where == coreml.load_in("evaluator", package, None).where == "reference"
    for runtime in coreml.NAMES[:-1]:
        with pytest.raises(NoRuntime, match=f"{runtime}: Core ML runs on Apple's systems only"):
            coreml.load_in(runtime, package, None)


def test_an_unknown_runtime_is_refused(package: Path) -> None:
    with pytest.raises(UnknownName, match="coreml-npu"):
        coreml.load_in("coreml-npu", package, None)

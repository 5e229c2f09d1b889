"""`edgevit.toml` is read strictly, and all of it before anything is done."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest

from edgevit import checkpoint as checkpoints
from edgevit import toml
from edgevit.cli import example
from edgevit.errors import BadInput
from edgevit.pipeline import road, road_devices
from edgevit.types import Limits, TrainConfig, Unit

TRAINED = 'targets = ["tflite"]\nrecipes = ["fp32", "int8"]\n[train]\ndata = "digits"\n'


def _read(tmp_path: Path, text: str) -> road.Road:
    (tmp_path / "edgevit.toml").write_text(text)
    return road.read(tmp_path / "edgevit.toml")


def test_what_is_not_said_is_as_everywhere(tmp_path: Path) -> None:
    found = _read(tmp_path, TRAINED + "epochs = 3\nimage_size = '16x24'\n")
    said = ("data", "epochs", "image_size")
    assert found.train == TrainConfig("digits", epochs=3, image_size=(16, 24), said=said)
    assert found.checkpoint is found.imported is None
    assert (found.targets, found.recipes, found.split, found.input) == (("tflite",), ("fp32", "int8"), "auto", ("tensor",))
    assert [device.name for device in found.devices] == ["local"] and found.limits.of("tflite-fp32") == Limits()


def test_paths_lead_from_the_file(tmp_path: Path, checkpoint: Path, images: Path) -> None:
    (tmp_path / "run").symlink_to(checkpoint)
    (tmp_path / "photos").symlink_to(images)
    found = _read(
        tmp_path, 'checkpoint = "run"\ntargets = ["tflite"]\nrecipes = ["fp32"]\ncalibrate = "photos"\n[data]\nspec = "photos"\n'
    )
    assert found.checkpoint == tmp_path / "run" and found.data == found.calibrate == str(tmp_path / "photos")
    begun = _read(tmp_path, TRAINED + 'from = "run"\n').train
    assert begun and begun.start == str(checkpoints.find(tmp_path / "run"))


def test_the_nearer_limit_goes_before() -> None:
    common = {"p90_ms": 30, "size_mb": 8.5, "tflite-int8": {"p90_ms": 20}}
    limits = road_devices.budgets("here", common)
    (device,) = road_devices.devices("file", [{"name": "local", "limits": {"p90_ms": math.inf}, "units": ["cpu"]}], limits)
    assert limits.of("tflite-fp32") == Limits(p90_ms=30, size_mb=8.5) and limits.of("tflite-int8").p90_ms == 20
    assert limits.of("tflite-int8").under(device.limits.of("tflite-int8")) == Limits(p90_ms=math.inf, size_mb=8.5)
    assert device.rules.units == (Unit.CPU,) and device.rules.runs == 100


def test_more_launches_than_the_most_are_the_most() -> None:
    (device,) = road_devices.devices("file", [{"name": "local", "launches": 30}], road_devices.budgets("here", {}))
    assert device.rules.launches == device.rules.most_launches == 30


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("epoch = 3", r"\[train\]: unknown key: epoch"),
        ("epochs = 'three'", r"\[train\]: epochs must be a whole number, not 'three'"),
        ("epochs = true", "epochs must be a whole number"),
        ("lr = nan", "lr must be a number"),
        ("augment = 'all'", "unknown augment: all"),
        ("from = 'gone'", r"\[train\]: from: no such checkpoint: .*gone"),
        ("objective = 'masked patches'", "unknown key: objective"),
        ("[limit]\np90_ms = 3", "unknown key: limit"),
        ("[limits]\np9_ms = 3", r"\[limits\]: unknown key: p9_ms"),
        ("[limits]\np90_ms = -1", "p90_ms must be 0 or more, not -1"),
        ("[limits]\noutside = 0.5", "outside must be a whole number, not 0.5"),
        ("[limits]\nagreement = 99", "agreement is a share of 1, not 99"),
        ("[limits.tflite-int4]\nsize_mb = 3", "unknown artifact: tflite-int4"),
        ("[limits.tflite-int8]\nsize = 3", r"\[limits\] tflite-int8: unknown key: size"),
        ("[[device]]\nname = 'local'\nrun = 3", r"\[\[device\]\] 1: unknown key: run"),
        ("[[device]]\nname = 'local'\n[[device]]\nname = 'local'", "twice the same: local"),
        ("[[device]]\nruns = 3", "name is missing"),
        ("[[device]]\nname = 'pi'", "no such device: pi"),
        ("[[device]]\nname = 'ssh://-oProxyCommand=x'", "not the name of a device"),
        ("[[device]]\nname = 'local'\nunits = ['tpu']", "unknown unit: tpu"),
        ("[[device]]\nname = 'local'\nlaunches = 9\nmost_launches = 8", "most_launches is below launches"),
        ("[[device]]\nname = 'local'\naffinity = [-1]", "cores, which count from 0"),
        ("[[device]]\nname = 'local'\n[device.limits.tflite]\np90_ms = 3", "device.* local: limits: unknown artifact: tflite"),
        ("[data]\nsplit = 'half'", "unknown split: half"),
        ("[data]\nspec = 'gone'", r"\[data\]: spec: no such images: .*gone"),
        ("[import]\nsource = 'x'", "begins with one of checkpoint, train, import, not train and import"),
    ],
)  # fmt: skip
def test_what_is_said_wrong_is_named(more: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words) as error:
        _read(tmp_path, TRAINED + more)
    assert str(tmp_path / "edgevit.toml") in error.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("targets = [", "no TOML"),
        ("recipes = ['fp32']\n[train]\ndata = 'digits'", "targets is empty"),
        ("targets = 'all'\nrecipes = ['fp32']\n[train]\ndata = 'digits'", "targets must be a list of texts, not 'all'"),
        ("targets = ['tflit']\nrecipes = ['fp32']\n[train]\ndata = 'digits'", "unknown target: tflit"),
        ("targets = ['tflite']\nrecipes = ['int7']\n[train]\ndata = 'digits'", "unknown recipe: int7"),
        ("targets = ['tflite-gpu']\nrecipes = ['int8']\n[train]\ndata = 'digits'", "does not hold int8"),
        ("input = ['jpeg']\ntargets = ['tflite']\nrecipes = ['int8']\n[train]\ndata = 'digits'", "unknown --input: jpeg"),
        ("keep_patches = [2]\ntargets = ['tflite']\nrecipes = ['int8']\n[train]\ndata = 'digits'", "0.25 to 1, not 2"),
        ("runtimes = ['x']\ntargets = ['tflite']\nrecipes = ['int8']\n[train]\ndata = 'digits'", "unknown runtime: x"),
        ("targets = ['tflite']\nrecipes = ['int8']\n[train]\nepochs = 3", "data is missing"),
        ("targets = ['tflite']\nrecipes = ['int8']\n[import]\nmodel = 'B/16'", "source is missing"),
        ("targets = ['tflite']\nrecipes = ['int8']\n[import]\nsource = 'a/b'\nmean = '1,2'", "mean takes one number or three"),
        ("targets = ['tflite']\nrecipes = ['int8']\n[import]\nsource = 'a/b'\nresize = 0", "takes pixels"),
        ("checkpoint = 'gone'\ntargets = ['tflite']\nrecipes = ['int8']", "no such checkpoint"),
        ("device = []\ntargets = ['tflite']\nrecipes = ['int8']\n[limits]\np90_ms = 3\n[train]\ndata = 'digits'", "is none"),
    ],
)  # fmt: skip
def test_a_road_that_leads_nowhere(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        _read(tmp_path, text)


def test_a_key_that_is_nearly_right_is_named_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        _read(tmp_path, TRAINED + "[limits]\np99_ms = 3")
    assert "nearest: p90_ms" in error.value.hint


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such road") as error:
        road.read(tmp_path / "edgevit.toml")
    assert "--example" in error.value.hint
    (tmp_path / "edgevit.toml").write_bytes(b"\xff" * 10)
    with pytest.raises(BadInput, match="no TOML"):
        road.read(tmp_path / "edgevit.toml")
    (tmp_path / "edgevit.toml").write_bytes(b"#" * (toml.LARGEST + 1))
    with pytest.raises(BadInput, match="too large"):
        road.read(tmp_path / "edgevit.toml")


@pytest.mark.parametrize(
    "name", ["local", "macos", "ios:00008120-1", "adb", "ssh://pi@10.0.0.5:2222?python=/home/pi/venv/bin/python"]
)
def test_every_device_that_a_bench_takes(name: str, tmp_path: Path) -> None:
    assert [one.name for one in _read(tmp_path, f"{TRAINED}[[device]]\nname = {name!r}").devices] == [name]


def test_the_example_is_a_road(tmp_path: Path) -> None:
    """As it is, but for the checkpoint; and with every line in it that is only shown."""
    said = tomllib.loads(example.ROAD)
    assert said["checkpoint"] == "runs/flowers"
    found = _read(tmp_path, example.ROAD.replace('checkpoint = "runs/flowers"', 'train = { data = "digits" }'))
    assert found.devices[0].limits.of("tflite-fp32").p90_ms == math.inf and found.limits.common.outside == 0


def test_the_example_shows_every_key() -> None:
    shown = {word for line in example.ROAD.splitlines() if "=" in line for word in [line.lstrip("# ").partition(" =")[0]]}
    every = {*road.KEYS, *road.DATA, *road_devices.RULES, *road_devices.LIMITS, "allow_unmeasured"}
    tables = {"train", "import", "data", "device", "limits"}
    assert every - tables <= shown
    assert all(f"[{name}]" in example.ROAD or f"[[{name}]]" in example.ROAD for name in tables)

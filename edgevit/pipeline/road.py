"""`edgevit.toml` as a Road: all of it is read and looked at before anything is done."""

from __future__ import annotations

import contextlib
import os
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import targets
from edgevit import checkpoint as checkpoints
from edgevit import toml
from edgevit.data import BUILT_IN, HUB
from edgevit.errors import BadInput, UnknownName
from edgevit.pipeline import road_devices, table, training
from edgevit.pipeline.pairs import Pair, merged, pairs, taking
from edgevit.pipeline.runtimes import required
from edgevit.pipeline.table import FLAG, NUMBER, NUMBERS, PIXELS, TABLE, TABLES, TEXT, TEXTS, WHOLE
from edgevit.types import ImportChoice, Road, TrainConfig, ViTConfig
from edgevit.vit.foreign import asked

NAME = "edgevit.toml"
FROM = ("checkpoint", "train", "import")
"""What a road begins with: one of these."""
KEYS = {
    "checkpoint": TEXT, "train": TABLE, "import": TABLE, "title": TEXT, "targets": TEXTS, "recipes": TEXTS,
    "keep_patches": NUMBERS, "input": TEXTS, "runtimes": TEXTS, "data": TABLE, "calibrate": TEXT, "calibration_images": WHOLE,
    "allow_unmeasured": FLAG, "device": TABLES, "limits": TABLE,
}  # fmt: skip
DATA = {"spec": TEXT, "split": TEXT, "on_bad_image": TEXT}
SPLITS = ("auto", "held-out", "train", "test", "all")
ON_BAD = ("refuse", "skip")
IMPORT = {
    "source": TEXT, "mean": TEXT, "std": TEXT, "resize": PIXELS, "interpolation": TEXT, "labels": TEXT, "image_size": PIXELS,
    "model": TEXT, "heads": WHOLE, "positions": TEXT, "headless": FLAG,
}  # fmt: skip
NOT_SAID = ("start", "tried", "dev", "objective", "said")
"""Fields of a TrainConfig that the table [train] has by another name, or not at all."""


def _training_kinds() -> dict[str, str]:
    """The settings of a training by name, and what each is, as its noun says."""
    kinds = {str: TEXT, int: WHOLE, float: NUMBER, bool: FLAG}
    hints = {name: hint for name, hint in typing.get_type_hints(TrainConfig).items() if name not in NOT_SAID}
    plain = {name: next((k for k in typing.get_args(hint) if k in kinds), hint) for name, hint in hints.items()}
    return {**{name: kinds[kind] for name, kind in plain.items() if kind in kinds}, "image_size": PIXELS, "from": TEXT}


def read(path: Path) -> Road:
    """The road in the file `path`. Raises BadInput, with file, place and key, for all that it does not say rightly.

    Paths in it lead from its own folder.
    """
    said = toml.read(path, "road", "edgevit run --example prints one to begin with")
    table.require(str(path), said, KEYS)
    begins = [name for name in FROM if name in said]
    if len(begins) != 1:
        raise BadInput(f"{path}: a road begins with one of {', '.join(FROM)}, not {' and '.join(begins) or 'none'}")
    for name in ("targets", "recipes"):
        if not said.get(name):
            raise BadInput(f"{path}: {name} is empty", f"edgevit {name} lists them, as {name} = {_example(name)}")
    table.within(str(path), said, {"calibration_images": (1, 1e9)})
    road = _road(path, said)
    with _said_in(f"{path}: checkpoint"):
        config = checkpoints.read(road.checkpoint).config if road.checkpoint else None
    with _said_in(path):
        made = wanted(road, config)
    certain = config is not None or road.keep_patches == (1.0,)
    _require_names(road, {pair.name for pair in made} if certain else None)
    return road


def _example(name: str) -> str:
    return '["all"]' if name == "targets" else '["fp32", "int8"]'


def _road(path: Path, said: Mapping[str, Any]) -> Road:
    folder = path.parent
    data = said.get("data", {})
    table.require(f"{path}: [data]", data, DATA)
    for key, known in (("split", SPLITS), ("on_bad_image", ON_BAD)):
        if data.get(key, known[0]) not in known:
            raise BadInput(f"{path}: [data]: unknown {key}: {data[key][:40]}", f"known: {', '.join(known)}")
    limits = road_devices.budgets(f"{path}: [limits]", said.get("limits", {}))
    devices = road_devices.devices(str(path), said.get("device", [{"name": "local"}]), limits)
    return Road(
        targets=tuple(said["targets"]),
        recipes=tuple(_near(folder, name) if name.endswith(".toml") else name for name in said["recipes"]),
        checkpoint=Path(_near(folder, said["checkpoint"])) if "checkpoint" in said else None,
        train=_training(path, said["train"]) if "train" in said else None,
        imported=_imported(path, said["import"]) if "import" in said else None,
        title=said.get("title", "edgevit run"),
        keep_patches=tuple(map(float, said.get("keep_patches", [1.0]))),
        input=tuple(said.get("input", ["tensor"])),
        runtimes=tuple(said.get("runtimes", [])),
        data=_images(f"{path}: [data]: spec", folder, data["spec"]) if "spec" in data else None,
        split=data.get("split", "auto"),
        on_bad_image=data.get("on_bad_image", "refuse"),
        calibrate=_images(f"{path}: calibrate", folder, said["calibrate"]) if "calibrate" in said else None,
        calibration_images=said.get("calibration_images", 256),
        devices=devices,
        limits=limits,
        allow_unmeasured=said.get("allow_unmeasured", False),
        file=path,
    )


def _near(folder: Path, text: str) -> str:
    """A path that was said from `folder`, as it leads there from the working directory."""
    return os.path.normpath(folder / text)


def _images(place: str, folder: Path, spec: str) -> str:
    """Images by a built-in name, of the Hub, or at a path, which has to be there. Raises BadInput."""
    if spec in BUILT_IN or spec.startswith(HUB):
        return spec
    if not (folder / spec).exists():
        raise BadInput(f"{place}: no such images: {_near(folder, spec)}", f"a path, hf:NAME, or {', '.join(BUILT_IN)}")
    return _near(folder, spec)


def _training(path: Path, said: Mapping[str, Any]) -> TrainConfig:
    place = f"{path}: [train]"
    table.require(place, said, _training_kinds())
    if "data" not in said:
        raise BadInput(f"{place}: data is missing", "a path, hf:NAME, or digits")
    given = dict(said)
    given["data"] = _images(f"{place}: data", path.parent, said["data"])
    for key in (key for key in ("from", "teacher") if key in given):
        with _said_in(f"{place}: {key}"):
            given[key] = str(checkpoints.read(Path(_near(path.parent, given[key]))).folder)
    if str(given.get("quantize", "")).endswith(".toml"):
        given["quantize"] = _near(path.parent, given["quantize"])
    with _said_in(place):
        if "image_size" in given:
            given["image_size"] = asked.size("image_size", str(given["image_size"]))
        if "from" in given:
            given["start"] = given.pop("from")
        return training.settings(given)


def _imported(path: Path, said: Mapping[str, Any]) -> ImportChoice:
    place = f"{path}: [import]"
    table.require(place, said, IMPORT)
    if "source" not in said:
        raise BadInput(f"{place}: source is missing", "a weight file, its folder, or owner/name on the Hugging Face Hub")
    given: dict[str, Any] = {key: str(value) if IMPORT[key] == PIXELS else value for key, value in said.items()}
    for key in ("source", "labels"):
        if key in given and (path.parent / given[key]).exists():
            given[key] = _near(path.parent, given[key])
    choice = ImportChoice(**given)
    with _said_in(place):
        options(choice)
    return choice


def options(choice: ImportChoice) -> asked.Asked:
    """What is said of weights of others, as `edgevit import` takes it. Raises BadInput."""
    return asked.Asked(
        asked.channels("mean", choice.mean), asked.channels("std", choice.std), asked.resize(choice.resize),
        asked.interpolation(choice.interpolation), Path(choice.labels) if choice.labels else None,
        asked.size("image_size", choice.image_size), choice.model, asked.heads(choice.heads),
        asked.positions(choice.positions), choice.headless,
    )  # fmt: skip


def wanted(road: Road, config: ViTConfig | None) -> list[Pair]:
    """The artifacts that a road makes of a checkpoint of the shape `config`; without one, as far as names can tell.

    Raises BadInput.
    """
    found = pairs(list(road.targets), list(road.recipes), config)
    required(road.runtimes)
    for keep in road.keep_patches:
        if not 0.25 <= keep <= 1:
            raise BadInput(f"keep_patches must be 0.25 to 1, not {keep:g}")
    if config is not None:
        found = merged(found, config, list(road.keep_patches))
    return taking(found, list(road.input))


def require_names(road: Road, config: ViTConfig) -> None:
    """Raise BadInput where limits name an artifact that the road does not make of a checkpoint of that shape."""
    _require_names(road, {pair.name for pair in wanted(road, config)})


def _require_names(road: Road, made: set[str] | None) -> None:
    every = [("[limits]", road.limits), *((f"[[device]] {d.name}: limits", d.limits) for d in road.devices)]
    for place, budgets in every:
        for name in budgets.artifacts:
            if made is not None and name not in made:
                unknown = UnknownName("artifact", name[:80], sorted(made))
                raise BadInput(f"{road.file}: {place}: {unknown.message}", unknown.hint)
            if made is None and not any(name.startswith(f"{target}-") for target in targets.NAMES):
                unknown = UnknownName("target in", name[:80], targets.NAMES)
                raise BadInput(f"{road.file}: {place}: {unknown.message}", unknown.hint)


@contextlib.contextmanager
def _said_in(place: object) -> Iterator[None]:
    """Say where the user said what turns out to be wrong."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{place}: {error.message}", error.hint) from error

"""The settings of a training in words: what each is, who decided it, and the command that gives the same again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from edgevit.report import words
from edgevit.types import TrainConfig

HIDDEN = ("said", "tried", "dev", "objective", "watch")
"""Fields of a TrainConfig that are no setting that anybody chooses."""
NAMES = {
    "start": "begins from", "lr": "learning rate", "mirror": "mirrored images", "gelu": "GELU", "ema": "average of weights",
    "on_bad_image": "unreadable images", "quantize": "for the recipe", "drop_path": "stochastic depth", "batch": "batch, images",
    "distil": "distillation",
}  # fmt: skip
OF_A_MODEL = ("model", "image_size", "pool", "positions", "registers", "gelu", "representation", "keep_patches")
OF_A_PRESET = (
    "epochs", "batch", "optimiser", "lr", "weight_decay", "layer_decay", "warmup", "label_smoothing", "mixup", "cutmix",
    "erasing", "drop_path", "ema", "freeze",
)  # fmt: skip
PRETRAINS = (
    "data", "start", "model", "image_size", "pool", "positions", "registers", "gelu", "epochs", "batch", "lr", "weight_decay",
    "augment", "mirror", "held_out", "on_bad_image", "seed", "device", "precision", "watch",
)  # fmt: skip
"""The settings that `edgevit pretrain` takes."""


@dataclass(frozen=True)
class Setting:
    name: str
    value: str
    by: str


def rows(train: TrainConfig) -> tuple[Setting, ...]:
    """All that are known, those that the user gave first."""
    known = {name: value for name, value in vars(train).items() if name not in HIDDEN and value is not None}
    order = sorted(known, key=lambda name: name not in (train.said or ()))
    return tuple(Setting(NAMES.get(name, name.replace("_", " ")), _value(known[name]), by(name, train)) for name in order)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return f"{' x '.join(map(str, value))} px"
    return f"{value:g}" if isinstance(value, float) else words.plain(str(value))


def by(name: str, train: TrainConfig) -> str:
    """Who decided a setting of a training whose settings are all derived."""
    if name == "lr" and train.tried:
        return f"the best of {len(train.tried)} that were tried"
    if train.said is None:
        return "not recorded"
    if name in train.said:
        return "said"
    if name in OF_A_MODEL:
        known = "the images" if name in ("model", "image_size") else "the usual"
        return "the checkpoint that it began from" if train.start else known
    if name == "preset":
        return "what it began from" if train.start else "that it began from nothing"
    if name in ("augment", "mirror"):
        return "the kind of the images"
    if name in OF_A_PRESET:
        return f"the preset {words.plain(train.preset)}"
    if name == "precision":
        return "the device"
    return "the teacher" if name == "distil" and train.teacher else "the usual"


def command(train: TrainConfig, name: str) -> str:
    """What was said, as a command. Where that is not known, all settings, which give the same."""
    pretrains = train.objective == "masked patches"
    named = [key for key in vars(train) if key not in HIDDEN] if train.said is None else list(train.said)
    named = [key for key in named if not pretrains or key in PRETRAINS]
    options = [word for key in named for word in _option(key, getattr(train, key, None))]
    grid = ["--lr-grid", ",".join(train.tried)] if train.tried else []
    if grid and "--lr" in options:
        place = options.index("--lr")
        options[place : place + 2] = []
    return words.plain(shlex.join(["edgevit", "pretrain" if pretrains else "train", *options, *grid, "--out", name]))


def _option(name: str, value: object) -> list[str]:
    flag = f"--{'from' if name == 'start' else name.replace('_', '-')}"
    if value is None or (value is False and name != "mirror"):
        return []
    if isinstance(value, bool):
        return [flag if value else "--no-mirror"]
    text = "x".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    return [flag, text]

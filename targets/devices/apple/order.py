"""What the process that asks Core ML is told, and what it says: one line of JSON each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgevit import record
from edgevit.types import Asked, Launch, Model, Moment, Placed


@dataclass(frozen=True)
class Signing:
    """What Xcode signs ModelRunner with, coremltools' app for iPhones and iPads; empty where nobody said."""

    team: str = ""
    profile: str = ""
    bundle: str = ""


@dataclass(frozen=True)
class Phone:
    """An iPhone or iPad as `devicectl` lists it. `state` is that of its tunnel, and `developer` that of its developer mode."""

    name: str
    identifier: str
    udid: str
    system: str = ""
    build: str = ""
    state: str = ""
    developer: str = ""


@dataclass(frozen=True)
class Order:
    """`verb` is one of `child.VERBS`; `udid` the phone to run on, None for this Mac; `began` unix time, of the bench.

    ModelRunner is built in `work`. `pixels` is a file of uint8 (N, H, W, 3), and `logits` where the answers go, both as NumPy's.
    """

    verb: str
    udid: str | None = None
    model: Model | None = None
    asked: Asked = Asked()  # noqa: RUF009 (it is frozen)
    began: float = 0.0
    seconds: float = 0.0
    work: Path | None = None
    signing: Signing = Signing()
    pixels: Path | None = None
    logits: Path | None = None


@dataclass(frozen=True)
class Said:
    """One line of the process: a moment on the way, or its last word, which is a fault or what was asked for."""

    moment: Moment | None = None
    launch: Launch | None = None
    placed: tuple[Placed, ...] = ()
    phones: tuple[Phone, ...] = ()
    fault: str = ""
    hint: str = ""
    lost: bool = False
    """Whether the fault is that the device is no longer connected."""


def line(value: Order | Said) -> bytes:
    """By Python's json: msgspec would turn infinity and NaN into null."""
    return json.dumps(record.builtins(value)).encode() + b"\n"

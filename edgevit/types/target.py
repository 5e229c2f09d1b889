"""Where a model runs: what the rest of the house knows of a back end, and how far a file of it may be from its checkpoint."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Input(enum.StrEnum):
    """What an exported file takes of an image.

    TENSOR: float32, normalised by the app, and logits come out. PIXELS: uint8 RGB as they are; they are normalised inside, and
    probabilities come out.
    """

    TENSOR = "tensor"
    PIXELS = "pixels"


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from its checkpoint.

    `relative_error` bounds |a - b| / |b| over the golden logits, b those of the model as it was converted; `drop` the loss of
    top-1 as a fraction of 1, `agreement` is the least fraction of images with the same answer, both beside the checkpoint. A
    set too small to show a difference may still differ in one image.
    """

    relative_error: float
    drop: float
    agreement: float


@dataclass(frozen=True)
class Library:
    """A package that a target needs: its import name, and the extra of edgevit that installs it."""

    module: str
    extra: str


@dataclass(frozen=True)
class Runtime:
    """Something that may open a target's file: its name and what it is, the `package` whose version counts, what it needs.

    `own`: the one that every check runs. `pixels`: it takes those whatever the file takes, and normalises by the file's metadata.
    `judges`: it says whether it would take the file, and runs nothing.
    """

    name: str
    summary: str
    package: str
    needs: tuple[Library, ...]
    own: bool = False
    pixels: bool = False
    judges: bool = False


@dataclass(frozen=True)
class MetadataWriter:
    """A module of `converters` with `describe`, which runs in a process of its own, and what it needs besides the target."""

    module: str
    needs: tuple[Library, ...]


@dataclass(frozen=True)
class Footprint:
    """The memory that work takes beside other work, as it was measured: bytes for the libraries, and for each byte of weights.

    The weights of a checkpoint as they lie in its file are not counted: processes share them. Two conversions never take their
    most at a time (`Order.alone`), so theirs is half of what two take.
    """

    base: int
    per_byte: float

    def bytes(self, weights: int) -> int:
        return self.base + int(self.per_byte * weights)


@dataclass(frozen=True)
class Target:
    """Where a model runs: all that the rest of the house knows about one back end."""

    name: str
    summary: str
    converter: str
    suffix: str
    runtime: str
    recipes: dict[str, Tolerance]
    """The forms of weights that it holds, by their names, and how far each may be from the checkpoint."""
    activations: tuple[str, ...]
    """How the back end computes behind weights of integers: `dynamic`, `static`; empty where it does so in float."""
    needs: tuple[Library, ...]
    max_subgraphs: int | None = None
    max_outside: int | None = None
    """Most delegated subgraphs, and most nodes outside them, before an export counts as UNDELEGATED."""
    footprint: Footprint = Footprint(1 << 30, 9.0)
    seconds: tuple[float, float] = (20.0, 20.0)
    """What an export of a B/16 takes, of floats and of integers, as it was measured: which of several is begun first."""
    not_here: str = ""
    """Why the target's own runtime cannot run on this machine, so that no latency is measured; empty where it can."""
    systems: tuple[str, ...] = ()
    """How the systems begin to name themselves that alone have what runs it; empty where any may."""
    by_name_only: str = ""
    """Why `all` does not mean it, and a user must name it; empty where `all` does."""
    merges: bool = True
    """Whether its converter can write a model that merges patches."""
    pixels_outside: int | None = None
    """Most nodes more that are outside the delegates where pixels go in; None where its converter cannot write such a file."""
    metadata: MetadataWriter | None = None
    """Who writes the format's own metadata into the file; None where the converter does."""
    wanted: tuple[str, ...] = ()
    """Runtimes in which it must be right whoever asks, besides its own."""
    apps: tuple[str, ...] = ()
    """Which ready-made code goes into its artifacts, by the names of `edgevit.app`."""
    varies: str = ""
    """Why two files of one model differ byte by byte; empty where they do not."""

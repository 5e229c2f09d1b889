"""Images in shards: tar archives of a few hundred megabytes that are read one after the other, on a disk or from a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgevit.types.model import require

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Shard:
    """One archive: its size in bytes, its sha256, how many images it holds, and of which part."""

    name: str
    part: str
    bytes: int
    sha256: str
    samples: int

    def __post_init__(self) -> None:
        require(self.part in PARTS, f"unknown part: {self.part}; known: {', '.join(PARTS)}")
        require(0 < self.samples * 512 <= self.bytes, f"{self.samples} images in {self.bytes} bytes")


@dataclass(frozen=True)
class ShardIndex:
    """`index.json` beside the shards: all that is known of them before one is opened.

    The class of every image stands in `classes.u32` beside it, in the order of the shards and of the images within each, as
    little-endian uint32; `classes_sha256` is of that file. `native_size`, `photos` and `named` as a Dataset has them.
    """

    format: str
    labels: tuple[str, ...]
    named: bool
    native_size: int
    photos: bool
    seed: int
    classes_sha256: str
    shards: tuple[Shard, ...]

    def __post_init__(self) -> None:
        names = [shard.name for shard in self.shards]
        require(bool(names), "an index without shards")
        require(len(names) == len(set(names)), "a shard that is there twice")
        require(0 < self.native_size <= 1 << 14, f"images of {self.native_size} pixels")

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)


@dataclass(frozen=True)
class Sharded:
    """Shards that were written, and the images that could not be read and that the user let go."""

    index: ShardIndex
    skipped: tuple[str, ...]
    folder: Path = Path()

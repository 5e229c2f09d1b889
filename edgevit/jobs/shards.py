"""Images of any source into shards."""

from __future__ import annotations

from pathlib import Path

from edgevit import folder
from edgevit.data import open_source, shards_write
from edgevit.data.shards_index import NUMBERS
from edgevit.types import Progress, Sharded


def write(
    data: str, out: Path, largest: int, seed: int, held_out: float, on_bad: str, force: bool, progress: Progress
) -> Sharded:
    """The images of the source `data` in the folder `out`, in shards of about `largest` bytes."""
    source = open_source(data, seed, held_out)
    with folder.written_whole(out, NUMBERS, force) as partial:
        index, skipped = shards_write.write(source, partial, largest, seed, on_bad, progress)
    return Sharded(index, tuple(skipped), out)

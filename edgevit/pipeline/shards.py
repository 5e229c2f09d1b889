"""Images of any source into shards."""

from __future__ import annotations

from pathlib import Path

from edgevit import folder, stage
from edgevit.data import lasting
from edgevit.data.shards_index import NUMBERS
from edgevit.errors import BadInput
from edgevit.types import Progress, Sharded


def write_shards(
    data: str, out: Path, megabytes: float, seed: int, held_out: float, on_bad: str, force: bool, progress: Progress
) -> Sharded:
    """The images of the source `data` in the folder `out`. Raises BadInput where that may not be replaced."""
    folder.refuse_existing(out, NUMBERS, force)
    if out.exists() and lasting(data) == lasting(str(out)):
        raise BadInput(f"{out} would be read and replaced at once", "choose another folder")
    arguments = {"data": data, "out": out, "largest": int(megabytes * 1e6), "seed": seed, "held_out": held_out}
    return stage.run("edgevit.jobs.shards:write", Sharded, progress, **arguments, on_bad=on_bad, force=force).value

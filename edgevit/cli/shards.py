"""The command that puts images into shards: shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console
from edgevit.cli.app import command
from edgevit.cli.learn import name_skipped
from edgevit.cli.options import Force, Json, OnBad


@command
def shards(
    data: Annotated[str, typer.Argument(help="Images of any source: what --data takes elsewhere.")],
    out: Annotated[Path, typer.Argument(help="The folder of the shards and their index.")],
    shard_mb: Annotated[float, typer.Option("--shard-mb", min=0.01, max=100_000, help="Millions of bytes of one shard.")] = 256,
    held_out: Annotated[
        float,
        typer.Option(min=1e-6, max=0.999999, help="Share of each class set aside, where the source itself sets nothing aside."),
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=1 << 31, help="Of the order, and of what is set aside.")] = 0,
    on_bad_image: OnBad = "refuse",
    force: Force = False,
    json: Json = False,
) -> None:
    """Put images into shards, tar archives that training reads one after the other, from a disk or a server.

    They are WebDataset's. edgevit takes the folder, or the URL of the index.json in it, for --data.
    """
    from edgevit import pipeline

    with console.progress() as progress:
        made = pipeline.write_shards(data, out, shard_mb, seed, held_out, on_bad_image, force, progress)
    if json:
        console.json(made)
        return
    for part in dict.fromkeys(shard.part for shard in made.index.shards):
        of = [shard for shard in made.index.shards if shard.part == part]
        size = sum(shard.bytes for shard in of) / 1e6
        console.out(f"{part}: {sum(shard.samples for shard in of)} images in {len(of)} shards, {size:.1f} MB")
    name_skipped(made.skipped)
    console.out(str(out))

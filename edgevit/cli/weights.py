"""The commands that take weights of others and give ours: import, export-weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console
from edgevit.cli.app import command
from edgevit.cli.options import Force, Json


def import_weights(
    source: Annotated[str, typer.Argument(help="A weight file, its folder, or owner/name on the Hugging Face Hub.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the checkpoint.")],
    mean: Annotated[str | None, typer.Option(help="Of the channels: 0.485,0.456,0.406, or one for all.")] = None,
    std: Annotated[str | None, typer.Option(help="Of the channels: 0.229,0.224,0.225, or one for all.")] = None,
    resize: Annotated[
        str | None, typer.Option(help="256: the short side becomes that long. 256x256: the image becomes exactly that.")
    ] = None,
    interpolation: Annotated[str | None, typer.Option(help="nearest, bilinear, bicubic or lanczos.")] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV with index and name, one name per line, or JSON.")] = None,
    image_size: Annotated[str | None, typer.Option(help="Pixels: N, or HEIGHTxWIDTH. Default: the file's.")] = None,
    model: Annotated[str | None, typer.Option(help="The variant that the weights have to be; says their heads.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads, which few files say. Default: the file's.")] = None,
    positions: Annotated[str | None, typer.Option(help="none or sincos, for a file that holds no positions.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Leave the head off: an encoder to train from.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """A checkpoint from weights of timm, Hugging Face, Google or torchvision. What the file says need not be said again.

    Of a pickle (.pth, .pt, .bin) nothing but tensors is loaded, and none of its code is run.
    """
    from edgevit import pipeline
    from edgevit.vit.foreign import asked as options

    asked = options.Asked(
        options.channels("--mean", mean), options.channels("--std", std), options.resize(resize),
        options.interpolation(interpolation), labels, options.size("--image-size", image_size), model,
        options.heads(heads), options.positions(positions), headless,
    )  # fmt: skip
    with console.progress() as progress:
        made = pipeline.import_weights(source, asked, out, force, progress)
    if json:
        console.json(made)
        return
    from edgevit.vit.config import shown

    config, pixels = made.config, made.preprocess
    console.out(f"{out}: {config.variant} at {shown(config.image_size)} px, {config.classes or 'no'} classes")
    resized = shown(pixels.resize) if pixels.aspect == "keep" else "x".join(map(str, pixels.resize))
    console.out(f"images resized to {resized} ({pixels.interpolation}), mean {_listed(pixels.mean)}, std {_listed(pixels.std)}")
    console.note(made.source)


import_weights.__name__ = "import"  # a word that Python keeps for itself
command(import_weights)


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


@command
def export_weights(
    checkpoint: Path,
    format: Annotated[str, typer.Option("--format", help="timm or huggingface.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for the weights and their configs.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """A checkpoint's weights under the names of timm or Hugging Face, with their configs."""
    from edgevit import pipeline

    with console.progress() as progress:
        made = pipeline.export_weights(checkpoint, format, out, force, progress)
    if json:
        console.json(made)
        return
    console.out(str(made.folder))
    for note in made.notes:
        console.note(f"note: {note}")

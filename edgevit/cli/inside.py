"""The command that looks into a model file: inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.cli import console
from edgevit.cli.app import command
from edgevit.cli.options import Force, Json
from edgevit.types import Contents, Operators, Port

MANY = 12
"""Layers without a part of a Transformer that are shown, the largest; --json has all."""
WIDTH = 12
"""Characters of the longest bar."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
LONGEST = 120
"""Characters of a piece of metadata that are shown; --json has all."""


@command
def inspect(
    file: Annotated[Path, typer.Argument(help="A .pte, .tflite or .mlpackage, whoever made it, or the folder of an artifact.")],
    picture: Annotated[Path | None, typer.Option("--picture", help="A PNG of the bytes by layer.")] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw it on dark paper.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """What is in a model file: inputs, outputs, operators, quantization, delegates, metadata, bytes by layer."""
    from edgevit import pipeline

    with console.progress() as progress:
        found = pipeline.inspect(file, picture, dark, force, progress)
    if json:
        console.json(found)
    else:
        _show(found)
    if picture:
        console.note(f"drawn: {picture}")


def _show(found: Contents) -> None:
    console.out(f"{found.file}\n{found.format}, {_size(found.bytes)}, wants {found.wants}\n")
    ports = [("in", port) for port in found.inputs] + [("out", port) for port in found.outputs]
    console.table("Inputs and outputs", ("name", "", "type", "shape", "says"), [_port(*port) for port in ports])
    rows = [[o.name, str(o.count), o.by or "the runtime itself", o.where] for o in sorted(found.operators, key=_order)]
    _table(f"Operators, {sum(o.count for o in found.operators)}", ("operator", "count", "run by", "in"), rows)
    delegates = [[d.name, str(d.subgraphs), _known(d.nodes), "" if d.bytes is None else _size(d.bytes)] for d in found.delegates]
    _table("Delegates", ("delegate", "subgraphs", "nodes", "size"), delegates)
    _layers(found)
    _table("Metadata", ("name", "value"), [[name, _short(value)] for name, value in found.metadata])
    for note in found.notes:
        console.note(f"\nnote: {note}")


def _table(title: str, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    """With a line before it; nothing where there are no rows."""
    if rows:
        console.out("")
        console.table(title, columns, rows)


def _layers(found: Contents) -> None:
    parts, held = found.parts(MANY), sum(layer.bytes for layer in found.layers)
    most = max((part.bytes for part in parts), default=1)
    rows = [
        [_short(part.name, 44), _size(part.bytes), f"{100 * part.share:.1f} %", _bar(part.bytes / most), part.dtype]
        for part in parts
    ]
    _table(f"Constants by layer, {_size(held)} of {_size(found.bytes)}", ("layer", "size", "share", "", "type"), rows)


def _order(operator: Operators) -> tuple[str, bool, int]:
    """By place, those that no delegate takes first, the most frequent first."""
    return operator.where, bool(operator.by), -operator.count


def _port(side: str, port: Port) -> list[str]:
    says = [port.colours, port.words]
    if port.scale is not None:
        says.insert(0, f"(q - {port.zero}) * {port.scale:.6g}")
    if port.mean or port.std:
        says.append(f"(pixel - {_numbers(port.mean)}) / {_numbers(port.std)}")
    shape = " x ".join(str(size or "?") for size in port.shape) or "scalar"
    return [port.name, side, port.dtype, shape, _short("; ".join(filter(None, says)))]


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB" if count >= 100 else f"{count} B"


def _known(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _bar(share: float) -> str:
    eighths = round(share * WIDTH * 8)
    return EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _short(text: str, longest: int = LONGEST) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."

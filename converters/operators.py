"""The operators that a program calls itself, for a selective build of ExecuTorch, by ExecuTorch's own generator of such lists."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from executorch.codegen.tools.gen_oplist import gen_oplist

FILE = "operators.yaml"
HEADER = 24
"""Bytes of the extended header up to the size of the program, by ExecuTorch's schema/extended_header.h."""


def write(program: Path, delegates: Iterable[str]) -> None:
    """Beside the file `program`, as `selected_operators.yaml` of a selective build: operators, types and orders of dimensions.

    Delegates are libraries that an app links, and no operators: a comment names them. The list names the file that it is of,
    which is why it is made in a folder where that stands alone: in two folders it is the same.
    """
    needed = ", ".join(sorted(set(delegates))) or "none"
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        (Path(scratch) / program.name).write_bytes(_without_segments(program))
        with contextlib.chdir(scratch):
            gen_oplist(Path(FILE), model_file_path=program.name)
        listed = (Path(scratch) / FILE).read_text()
    program.with_name(FILE).write_text(f"# delegates to link besides: {needed}\n{listed}")


def _without_segments(program: Path) -> bytes:
    """The flatbuffer alone, whose size its header says: the generator reads the whole file, and the weights stand behind."""
    with program.open("rb") as file:
        header = file.read(HEADER)
        size = int.from_bytes(header[16:24], "little") if header[8:12] == b"eh00" else -1
        file.seek(0)
        return file.read(size)

"""The operators that a program calls itself, for a selective build of ExecuTorch, by ExecuTorch's own generator of such lists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from executorch.codegen.tools.gen_oplist import gen_oplist

FILE = "operators.yaml"


def write(program: Path, delegates: Iterable[str]) -> None:
    """Beside the file `program`, as `selected_operators.yaml` of a selective build: operators, types and orders of dimensions.

    Delegates are libraries that an app links, and no operators: a comment names them. The list names the file that it is of,
    which is why it is made in that file's folder: in two folders it is the same.
    """
    with contextlib.chdir(program.parent):
        gen_oplist(Path(FILE), model_file_path=program.name)
    listed = program.with_name(FILE)
    needed = ", ".join(sorted(set(delegates))) or "none"
    listed.write_text(f"# delegates to link besides: {needed}\n{listed.read_text()}")

"""An ExecuTorch program as a file: opened, and asked what it says of itself, before any delegate is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgevit import methods
from edgevit.errors import DamagedFile, LoadFailed
from edgevit.types import Described
from edgevit.versions import version

POLICY = "github.com/pytorch/executorch/blob/main/runtime/COMPATIBILITY.md"


class Program:
    """The program in `file`. Raises LoadFailed where it was made for a newer ExecuTorch than the one that is installed."""

    def __init__(self, file: Path) -> None:
        # The native half of executorch.runtime: its Python half would load the whole exporter besides, for 6 s and nothing.
        from executorch.extension.pybindings import _portable_lib as runtime

        self._file = file
        self._data = file.read_bytes()  # this and the program must outlive their methods
        whole = runtime.Verification.InternalConsistency  # by default it would believe whatever offsets a file holds
        self._program: Any = runtime._load_program_from_buffer(self._data, program_verification=whole)
        self._names = {self._program.get_method_name(i) for i in range(self._program.num_methods())}
        if self.ours:
            require_runtime(file, self.text(methods.RUNTIME))

    @property
    def ours(self) -> bool:
        """Whether edgevit made it, and not so long ago that it says nothing of itself."""
        return methods.EDGEVIT in self._names

    def method(self, name: str) -> Any:
        return self._program.load_method(name)

    def text(self, name: str) -> str:
        """What the constant method `name` gives. Raises DamagedFile for one that is absent, takes something or gives no text."""
        if name not in self._names or self._program.method_meta(name).num_inputs():
            raise DamagedFile(f"{self._file}: it has no constant method {name}")
        try:
            (given,) = self.method(name)([])
        except Exception as error:  # of a runtime, or of a text that is none
            raise DamagedFile(f"{self._file}: its constant method {name} gives nothing") from error
        if not isinstance(given, str):
            raise DamagedFile(f"{self._file}: its constant method {name} gives no text")
        return given


def described(file: Path) -> Described | None:
    """What the program in `file` says of itself; None of one that is not edgevit's. No delegate is needed to read it."""
    program = Program(file)
    return methods.read(program.text) if program.ours else None


def require_runtime(file: Path, made_for: str) -> None:
    """ExecuTorch promises that a program runs on the next minor release, and nothing of older ones (POLICY).

    So one of a newer minor release is refused. Patches of one release are taken as alike.
    """
    here, wanted = version("executorch"), _release(made_for)
    if wanted is None:
        raise DamagedFile(f"{file}: no version of ExecuTorch that it was made for: {made_for[:40]}")
    if here and (_release(here) or wanted) < wanted:
        message = f"{file} was made for ExecuTorch {made_for}, and {here} is installed here"
        raise LoadFailed(message, f"older runtimes are not promised to run it ({POLICY}); install {made_for}, or export it again")


def _release(text: str) -> tuple[int, int] | None:
    """Major and minor of a version."""
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", text)
    return (int(found[1]), int(found[2])) if found else None

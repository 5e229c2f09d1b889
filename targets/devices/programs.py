"""Programs of others that the user has: Android's `adb`, and the runners that LiteRT and ExecuTorch build for a phone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from edgevit.errors import NotInstalled

TOOLS = "https://developer.android.com/tools/releases/platform-tools"


@dataclass(frozen=True)
class Programs:
    """The user's programs. `adb` is found on PATH where it is not given.

    `answering` is another benchmark_model, for images, where the one that is measured takes none from files.
    """

    adb: Path | None = None
    benchmark_model: Path | None = None
    answering: Path | None = None
    executor_runner: Path | None = None

    def client(self) -> str:
        found = str(self.adb) if self.adb else shutil.which("adb")
        if not found:
            raise NotInstalled("adb is not installed", f"install Android's platform tools: {TOOLS}")
        return found

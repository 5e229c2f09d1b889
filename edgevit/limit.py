"""How long a child process may take."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from edgevit.errors import TookTooLong


class Killable(Protocol):
    def kill(self) -> None: ...


class Limit:
    """Kills a child once its seconds are over: native code that goes round in circles listens to nothing else."""

    def __init__(self, child: Killable, seconds: float | None) -> None:
        self.seconds, self.over = seconds, False
        self._child = child
        self._timer = threading.Timer(seconds or 0, self._end) if seconds else None
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        self.over = True
        self._child.kill()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def require_kept(self, job: str, last: dict[str, Any] | None) -> None:
        """Raise TookTooLong where the child was killed before its last word."""
        if self.over and last is None:
            name = job.rpartition(":")[2]
            raise TookTooLong(f"{name} was not done after {self.seconds:g} seconds, and was stopped")

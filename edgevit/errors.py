"""Every error that edgevit raises on purpose.

EdgevitError            exit code 1: something that was asked for did not hold
├── BadInput            exit code 2: what the user gave cannot be used; nothing was changed
│   ├── UnknownName     a target, recipe, model or data source that is not in its table
│   └── DamagedFile     a checkpoint, artifact or image that is cut, altered or of another kind
├── Diverged            a training whose loss is no longer a number
├── OutOfMemory         a step of a training that does not fit; the hint says what does
├── NotInstalled        a back end whose library is absent; the hint installs it
├── NoRuntime           a file that nothing on this machine can run
├── DeviceFault         a device that models are measured on: refused, full, cut off, or its runner broke
│   └── DeviceLost      ... its connection ended, and did not come back
└── StageFailed         a stage in a child process stopped
    ├── StageCrashed    the child died without a word: a signal, a native abort, or out of memory
    ├── TookTooLong     the child was ended, since it was not done within its limit
    ├── QuantizeFailed  ... while the recipe was applied
    └── LoadFailed      ... while a runtime opened the exported file
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class EdgevitError(Exception):
    """What was wrong and where, in one line, and a hint that says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    log = ""
    """The end of what the stage printed, where the error comes from one."""
    doing = ""
    """What that stage last said it was doing."""


class BadInput(EdgevitError):
    exit_code = 2


class UnknownName(BadInput):
    """`name` is not one of `known`; the nearest ones are named and none is chosen."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        lowered = {k.lower(): k for k in known}
        near = [lowered[k] for k in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.4)]
        guess = f"nearest: {', '.join(near)}; " if near else ""
        super().__init__(f"unknown {kind}: {name}", f"{guess}known: {', '.join(known)}")


class DamagedFile(BadInput):
    pass


class NotInstalled(EdgevitError):
    pass


class NoRuntime(EdgevitError):
    pass


class DeviceFault(EdgevitError):
    pass


class DeviceLost(DeviceFault):
    pass


class Diverged(EdgevitError):
    pass


class OutOfMemory(EdgevitError):
    pass


class StageFailed(EdgevitError):
    pass


class StageCrashed(StageFailed):
    pass


class TookTooLong(StageFailed):
    pass


class QuantizeFailed(StageFailed):
    pass


class LoadFailed(StageFailed):
    pass


OF_THE_PLACE = {
    errno.ENOSPC: "free some space there, or choose another --out",
    errno.EDQUOT: "free some space there, or choose another --out",
    errno.EFBIG: "files may not grow this large there; choose another --out",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that you may read and write",
}
"""What the file system says of the place that the user chose, rather than of a fault of ours, and what to do about it."""


def from_os_error(error: OSError) -> BadInput:
    """The plain error for what the file system refused: no space, no permission, no such file."""
    where = error.filename2 or error.filename
    place = f": {where}" if where else ""
    return BadInput(f"{(error.strerror or str(error)).lower()}{place}", OF_THE_PLACE.get(error.errno or 0, ""))

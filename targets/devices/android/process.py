"""One of the user's programs on the device: run with a limit, ended when it hangs, and what it left said."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from edgevit.errors import DeviceFault
from targets.devices.android.conditions import own_seconds
from targets.devices.android.shell import Adb, Hung, Said, first_line, quoted

RAN = "edgevit-ran"
END = 'for p in pid-*; do [ -f "$p" ] && kill -9 $(cat "$p") 2>/dev/null; rm -f "$p"; done'
"""Whatever of ours still runs, of a step that the connection was cut from or that hung: first its shell, then its program."""
BEGIN = f"{END}\np=pid-$$\necho $$ > $p"
"""The numbers of a step stand in a file of its own, so that an older one which is ended late takes nothing from it."""
STARTED = 'sh -c \'echo $$ >> "$1"; shift; exec "$@"\' edgevit $p'
"""The shell that writes down its number becomes the program."""
DONE = f'echo {RAN} "$(tail -n 1 $p)"; rm -f $p'


@dataclass(frozen=True)
class Ran:
    """What a program said, its number, and the seconds of processor time that it took."""

    said: Said
    pid: int | None
    own: float | None


class Runner:
    """Programs in the folder `path` of a device."""

    def __init__(self, adb: Adb, path: str) -> None:
        self._adb, self._path = adb, path

    def run(self, arguments: Sequence[str], cores: tuple[int, ...], limit: float) -> Ran:
        """The first argument is a program in our folder. Begun again when the connection ends. Raises DeviceFault."""
        command = "\n".join(
            (
                f"cd {self._path} || exit 9",
                BEGIN,
                f"{STARTED} {quoted([*pinned(cores), f'./{arguments[0]}', *arguments[1:]])}",
                f"code=$?\necho\n{DONE}\ntimes\nexit $code",
            )
        )
        return self.script(command, arguments[0], limit)

    def script(self, command: str, name: str, limit: float) -> Ran:
        """A command that may end with RAN, the program's number, and what `times` says."""
        try:
            said = self._adb.steady(lambda: self._adb.shell(command, limit))
        except Hung as hung:
            self._adb.steady(lambda: self._adb.shell(f"cd {self._path} && {{ {END}; }}"))
            hint = "a smaller model or fewer runs, or another unit: drivers do hang"
            raise DeviceFault(f"{name} on {self._adb.serial} was ended: {hung.message}", hint) from None
        body, _, tail = said.out.rpartition(f"{RAN} ")
        number, _, times = tail.partition("\n")
        if not body and RAN not in said.out:
            return Ran(said, None, None)
        pid = int(number) if number.strip().isdecimal() and len(number) < 12 else None
        return Ran(Said(said.code, body, said.err), pid, own_seconds(times))

    def log(self, tag: str, pid: int | None) -> str:
        """What the process wrote to the system's log under that tag: the lines alone."""
        said = self._adb.steady(lambda: self._adb.shell(f"logcat -d -v brief -s {tag}"))
        lines = (line.partition("): ") for line in said.out.splitlines())
        ours = [(head, text) for head, _, text in lines if pid is not None and head.endswith(f"({pid:5d}")]
        return "\n".join(f"{head[:1]} {text}" for head, text in ours)


def pinned(cores: tuple[int, ...]) -> list[str]:
    """`taskset` with the mask of those cores; nothing for all."""
    return ["taskset", f"{sum(1 << core for core in set(cores)):x}"] if cores else []


def require_done(ran: Ran, name: str, complaint: str) -> None:
    """Raises DeviceFault where the program did not end well: killed, not to be executed, or with an error of its own."""
    code = ran.said.code
    if code == 0:
        return
    if code in (126, 127):
        why = first_line(ran.said.err) or first_line(ran.said.out)
        raise DeviceFault(f"the device cannot execute {name}: {why}", "see docs/android.md")
    if code > 128:
        why = f"by {_signal(code - 128)}"
        hint = "the device may have run out of memory, or the program is broken"
        raise DeviceFault(f"{name} was ended {why}; it said: {complaint}", hint)
    raise DeviceFault(f"{name} failed with status {code}: {complaint}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

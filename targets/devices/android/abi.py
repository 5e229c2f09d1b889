"""For which processors a program was built, read from its ELF header, beside those that a device names."""

from __future__ import annotations

from pathlib import Path

from edgevit.errors import BadInput, DeviceFault

ABIS = {(40, 1): "armeabi-v7a", (183, 2): "arm64-v8a", (3, 1): "x86", (62, 2): "x86_64", (243, 2): "riscv64"}
"""Android's names by e_machine and class (developer.android.com/ndk/guides/abis)."""
LITTLE = 1


def abi(program: Path) -> str:
    """Raises BadInput for what is no program of Linux's, by its first twenty bytes."""
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise BadInput(f"cannot read {program}: {(error.strerror or str(error)).lower()}") from error
    if len(head) < 20 or head[:4] != b"\x7fELF" or head[5] != LITTLE:
        raise BadInput(f"no program for Android: {program}", "it must be one built with Android's NDK; see docs/android.md")
    machine, width = int.from_bytes(head[18:20], "little"), head[4]
    return ABIS.get((machine, width), f"machine {machine} of {32 * width} bits")


def require(program: Path, takes: tuple[str, ...]) -> None:
    """Raises DeviceFault where the device does not run what `program` was built for."""
    built = abi(program)
    if built not in takes:
        hint = f"get or build it for {takes[0] if takes else 'the device'}; see docs/android.md"
        names = ", ".join(takes) or "none that it names"
        raise DeviceFault(f"{program.name} is built for {built}, and the device takes {names}", hint)

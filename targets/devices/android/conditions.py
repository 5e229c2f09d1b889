"""How an Android device is: its clocks, governor, heat and load, from files and services that every shell may read."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass

from edgevit.types import Conditions

CUT = "edgevit-cut"
"""A line between two answers."""
CPU = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"
QUESTIONS = (
    f"cat {CPU}/scaling_cur_freq",
    f"cat {CPU}/scaling_governor",
    "head -n 1 /proc/stat",
    "dumpsys thermalservice",
    "cat /sys/class/thermal/thermal_zone*/temp",
)
COMMAND = f"; echo {CUT}; ".join(f"{question} 2>/dev/null" for question in QUESTIONS)
HERTZ = 100
"""Ticks of a second in /proc/stat: USER_HZ, which Android's kernels have at 100."""
NOT_HEAT = {6, 7, 8}
"""Sensors of the thermal service that give volts, amperes and per cent (android.os.Temperature)."""
SENSOR = re.compile(r"Temperature\{mValue=(-?[\d.]+(?:E-?\d+)?), mType=(-?\d+)")


@dataclass(frozen=True)
class Load:
    """Ticks of all cores together since the device started: all, and those with work."""

    total: int
    busy: int


@dataclass(frozen=True)
class Reading:
    mhz: float | None
    governor: str
    celsius: float | None
    load: Load | None


def reading(said: str) -> Reading:
    """The answers to COMMAND, of which each may be absent or nonsense."""
    parts = [part.strip() for part in said.split(CUT)]
    clocks, governors, stat, service, zones = (parts + [""] * len(QUESTIONS))[: len(QUESTIONS)]
    khz = [int(line) for line in clocks.split() if line.isdecimal() and 0 < int(line) < 10**8]
    return Reading(
        statistics.fmean(khz) / 1000 if khz else None,
        ", ".join(sorted({word for word in governors.split() if re.fullmatch(r"[\w-]{1,32}", word)})[:4]),
        hottest(service, zones),
        _load(stat),
    )


def hottest(service: str, zones: str) -> float | None:
    """Degrees of the hottest sensor: what the thermal service reads now, or else what the kernel's zones say."""
    _, _, now = service.partition("Current temperatures from HAL")
    now, _, _ = now.partition("Current cooling devices")
    found = [float(value) for value, kind in SENSOR.findall(now) if int(kind) not in NOT_HEAT]
    if not found:
        milli = [int(word) for word in zones.split() if re.fullmatch(r"-?\d{1,7}", word)]
        found = [value / 1000 if abs(value) > 1000 else float(value) for value in milli]
    return max((value for value in found if 0 < value < 150), default=None)


def _load(stat: str) -> Load | None:
    """Of "cpu  user nice system idle iowait irq softirq steal": the fourth and fifth are those without work."""
    words = stat.split()
    if len(words) < 6 or words[0] != "cpu" or not all(word.isdecimal() for word in words[1:]):
        return None
    ticks = [int(word) for word in words[1:9]]
    return Load(sum(ticks), sum(ticks) - ticks[3] - ticks[4])


def conditions(now: Reading, seconds: float, before: Load | None, own: float | None) -> Conditions:
    """A reading beside the one `before` it, between which our own program took `own` seconds of processor time."""
    return Conditions(seconds, now.mhz, now.governor, now.celsius, _others(now.load, before, own))


def _others(now: Load | None, before: Load | None, own: float | None) -> float | None:
    if now is None or before is None or own is None or now.total <= before.total:
        return None
    busy = now.busy - before.busy - own * HERTZ
    return min(1.0, max(0.0, busy / (now.total - before.total)))


TIMES = re.compile(r"^\s*(\d+)m\s*(\d+(?:\.\d+)?)s\s+(\d+)m\s*(\d+(?:\.\d+)?)s\s*$", re.MULTILINE)


def own_seconds(times: str) -> float | None:
    """Processor time of a shell and its children, as its `times` tells in two lines "0m0.00s 0m0.00s"; None for other words."""
    found = TIMES.findall(times)
    if len(found) != 2:
        return None
    return sum(60 * int(m) + float(s) for line in found for m, s in (line[:2], line[2:]))

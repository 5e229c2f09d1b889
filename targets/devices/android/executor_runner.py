"""ExecuTorch's executor_runner: what it is told, and what its words mean.

On Android its log goes to the system's (logcat, tag ExecuTorch) and nothing of it to the shell. Formats are those of
github.com/pytorch/executorch at cff6f4d (version 1.5, August 2026), examples/portable/executor_runner, and of older ones, which
tell one sum for all runs.
"""

from __future__ import annotations

import math
import re
import statistics

from edgevit.errors import DeviceFault
from edgevit.types import Asked, Contents, Launch, Unit
from targets.devices.android.shell import first_line

PAGE = "https://docs.pytorch.org/executorch/stable/using-executorch-building-from-source.html"
USAGE = ("--help",)
TAG = "ExecuTorch"
FOR_ANSWERS = ("inputs", "output_file")
UNITS = {"XnnpackBackend": Unit.CPU, "VulkanBackend": Unit.GPU}
"""Which unit a program's delegate computes on. Those of the makers of chips are NPUs."""
NOT_HERE = ("CoreMLBackend", "MPSBackend", "MetalBackend", "CudaBackend")


def options(usage: str) -> frozenset[str]:
    """The names of a build's options, as gflags lists them. Raises DeviceFault for a program that is another."""
    found = frozenset(re.findall(r"^\s*--?(\w[\w-]*) \(", usage, re.MULTILINE))
    if not {"model_path", "num_executions"} <= found:
        said = first_line(usage) or "nothing"
        hint = f"build the one of ExecuTorch 0.5 or newer: {PAGE}"
        raise DeviceFault(f"this is no executor_runner that is known here; it said: {said}", hint)
    return found


def units(contents: Contents) -> tuple[Unit, ...]:
    """The one that the program was lowered for: a runner cannot choose another. None where it is for another system."""
    names = [delegate.name for delegate in contents.delegates]
    if any(name in NOT_HERE for name in names):
        return ()
    others = [UNITS.get(name, Unit.NPU) for name in names]
    return (next((unit for unit in others if unit is not Unit.CPU), Unit.CPU),)


def outside(contents: Contents, unit: Unit) -> str:
    """What of the program no delegate takes, which the CPU computes."""
    if unit is Unit.CPU:
        return ""
    steps = [found for found in contents.operators if found.where == "forward" and not found.name.startswith("call of ")]
    left = [found for found in steps if not found.by]
    count = sum(found.count for found in left)
    names = ", ".join(sorted({found.name for found in left}))[:200]
    return f"{count} of {sum(found.count for found in steps)} operators: {names}" if count else ""


def measuring(has: frozenset[str], file: str, asked: Asked) -> list[str]:
    """It has no warm-up, so it runs so many times more, and the first are left out."""
    return [*_common(has, file, asked), f"--num_executions={asked.runs + asked.warmup}"]


def answering(has: frozenset[str], file: str, asked: Asked, image: str, to: str) -> list[str]:
    """Its arguments for one answer. It puts "-0.bin" behind the name of the first output."""
    missing = [name for name in FOR_ANSWERS if name not in has]
    if missing:
        hint = f"build the one of ExecuTorch 0.7 or newer: {PAGE}"
        raise DeviceFault(f"this executor_runner takes no images: it has no --{missing[0]}", hint)
    return [*_common(has, file, asked), f"--inputs={image}", f"--output_file={to.removesuffix('-0.bin')}"]


def _common(has: frozenset[str], file: str, asked: Asked) -> list[str]:
    """Our programs have constant methods besides `forward`, so it is named where that can be done."""
    found = [f"--model_path={file}"]
    if "method_name" in has:
        found.append("--method_name=forward")
    if "print_output" in has:
        found.append("--print_output=none")
    if asked.threads:
        if "cpu_threads" not in has:
            hint = "leave --threads out, or build a newer one"
            raise DeviceFault("this executor_runner cannot be told how many threads to use", hint)
        found.append(f"--cpu_threads={asked.threads}")
    return found


LOADED = re.compile(r"Model loaded in (\d+(?:\.\d+)?) ms")
ITERATION = re.compile(r"Iteration (\d{1,9}) of (\d{1,9}): (\d+(?:\.\d+)?) ms")
EXECUTED = re.compile(r"Model executed successfully (\d{1,9}) time\(s\) in (\d+(?:\.\d+)?) ms")
BEGUN = re.compile(r"Model file [^\n]* is loaded")


def launch(said: str, asked: Asked, contents: Contents) -> Launch:
    """What a launch was, by its log. Raises DeviceFault for one that tells no times, or not those that were asked for.

    Where it tells single runs, the first ones are the warm-up. An older runner tells their sum alone: the mean of all, and none
    is left out.
    """
    begun = [found.end() for found in BEGUN.finditer(said)]
    said = said[begun[-1] :] if begun else said  # a process that had our number before ours
    whole, wanted, load = EXECUTED.search(said), asked.runs + asked.warmup, LOADED.search(said)
    if not whole or int(whole[1]) != wanted:
        raise DeviceFault(f"executor_runner told no times; its log said: {complaint(said)}", NO_LOG)
    told = ITERATION.findall(said)
    times = tuple(_ms(ms) for _, _, ms in told)
    if times and [(int(i), int(of)) for i, of, _ in told] != [(i + 1, wanted) for i in range(wanted)]:
        raise DeviceFault(f"executor_runner told {len(times)} of {wanted} runs", "its log was full; run the bench again")
    timed = times[asked.warmup :]
    return Launch(
        warm_ms=_ms(load[1]) if load else None,
        first_ms=times[0] if times else None,
        times_ms=timed,
        centre_ms=statistics.median(timed) if timed else _ms(whole[2]) / wanted,
        statistic="median" if timed else "mean",
        runs=asked.runs if timed else wanted,
        warmup=asked.warmup if timed else 0,
        threads=asked.threads,
        elsewhere=outside(contents, asked.unit),
    )


NO_LOG = f"it must be built with -DEXECUTORCH_ENABLE_LOGGING=ON, and be of 0.5 or newer: {PAGE}"


def _ms(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value > 1e9:
        raise DeviceFault(f"executor_runner told a time that is none: {text[:40]}")
    return value


def complaint(said: str) -> str:
    """The line in which it says what is wrong, or else its first one that is no heading of logcat's."""
    lines = [line for line in said.splitlines() if not line.startswith("--------- ")]
    wrong = next((line for line in lines if re.search(r"^[EF][ /]|ERROR|(?i:failed|error)", line)), "")
    return first_line(wrong) or first_line("\n".join(lines)) or "nothing"

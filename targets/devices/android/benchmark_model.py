"""LiteRT's benchmark_model: what it is told, and what its words mean.

There are two of that name with most options in common: that of the interpreter (tflite/tools/benchmark) and that of the
CompiledModel API (litert/tools). Which options a build has is read from its own usage. Formats are those of
github.com/google-ai-edge/LiteRT at f677904 (August 2026) and of TensorFlow 2.3 to 2.9; tests/targets/android has outputs of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from edgevit.errors import DeviceFault
from edgevit.types import Asked, Launch, Unit
from targets.devices.android.shell import first_line

PAGE = "https://ai.google.dev/edge/litert/models/measurement"
USAGE = ("--help=true", "--num_runs=none")
"""It prints its usage at a number that is none; not every build does at --help."""
FOR_ANSWERS = {"input_layer", "input_layer_shape", "input_layer_value_files", "output_filepath"}
"""Options of a build that takes an image from a file and writes what the model gives."""
SWITCHES = {Unit.GPU: ("use_gpu",), Unit.NPU: ("use_npu", "use_nnapi")}
"""What turns a unit on, the first that a build has."""


def options(usage: str) -> frozenset[str]:
    """The names of a build's options. Raises DeviceFault for a program that is another."""
    found = frozenset(re.findall(r"^\s*--?(\w[\w-]*)[= \t(]", usage, re.MULTILINE))
    if not {"graph", "num_runs", "warmup_runs"} <= found:
        said = first_line(usage) or "nothing"
        raise DeviceFault(f"this is no benchmark_model that is known here; it said: {said}", f"the right one: {PAGE}")
    return found


def units(has: frozenset[str]) -> tuple[Unit, ...]:
    return (Unit.CPU, *(unit for unit, switches in SWITCHES.items() if has.intersection(switches)))


def measuring(has: frozenset[str], file: str, asked: Asked, seconds: float) -> list[str]:
    """Its arguments for one launch of exactly `runs` runs, or fewer where they take longer than `seconds`."""
    return [
        *_common(has, file, asked),
        f"--num_runs={asked.runs}",
        f"--warmup_runs={asked.warmup}",
        f"--max_secs={seconds:g}",
    ]


def answering(has: frozenset[str], file: str, asked: Asked, image: str, shape: tuple[int, ...], to: str) -> list[str]:
    """Its arguments for one answer: `image` is a file of the input's bytes, `to` gets those of the output."""
    missing = sorted(FOR_ANSWERS - has)
    if missing:
        hint = f"use the benchmark_model of the interpreter: {PAGE}"
        raise DeviceFault(f"this benchmark_model takes no images: it has no --{missing[0]}", hint)
    return [
        *_common(has, file, asked),
        "--num_runs=1",
        "--warmup_runs=0",
        "--input_layer=image",  # a name of ours: it takes any, in the order of the inputs
        f"--input_layer_shape={','.join(map(str, shape))}",
        f"--input_layer_value_files=image:{image}",
        f"--output_filepath={to}",
    ]


def _common(has: frozenset[str], file: str, asked: Asked) -> Iterator[str]:
    yield f"--graph={file}"
    yield "--min_secs=0"
    yield "--warmup_min_secs=0"
    if asked.threads:
        yield f"--num_threads={asked.threads}"
    if asked.unit is not Unit.CPU:
        yield f"--{next(name for name in SWITCHES[asked.unit] if name in has)}=true"


COUNT = re.compile(r"^(?:INFO: |[^\n]{0,80}\bI tflite *: )?count=(\d+)\b([^\n]*)$", re.MULTILINE)
"""A line per phase: warm-up, then the timed runs. That of an operator profile begins otherwise."""
FIELD = re.compile(r"(\w+)=(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b")
INIT = re.compile(r"Initialized session in (\d+(?:\.\d+)?(?:e[+-]?\d+)?) ?ms")
MEMORY = re.compile(
    r"Memory footprint delta from the start of the tool \(MB\): init=\S+ overall=(\d+(?:\.\d+)?)"
    r"|Peak memory footprint \(MB\): init=\S+ overall=(\d+(?:\.\d+)?)"
    r"|Overall footprint: +(\d+(?:\.\d+)?) MB"
)


def launch(said: str, asked: Asked) -> Launch:
    """What a launch was, by its words. Times are in microseconds there. Raises DeviceFault for words that are none of its.

    Its memory is what the process grew by at the most since it started, so `before_bytes` is 0. Newer builds tell the median
    of the runs, older ones the mean alone.
    """
    phases = [(int(count), dict(FIELD.findall(rest))) for count, rest in COUNT.findall(said)]
    if len(phases) != 2 or not phases[1][0] or (phases[0][0] and not phases[0][1]):
        raise DeviceFault(f"benchmark_model told no times; it said: {complaint(said)}")
    (warmup, warm), (runs, timed) = phases
    centre = next((name for name in ("median", "avg", "curr") if name in timed), "")  # all the same: `curr` alone
    load, memory = INIT.search(said), MEMORY.search(said)
    return Launch(
        warm_ms=_ms(load[1], 1.0) if load else None,
        first_ms=_ms((warm or timed).get("first") or (warm or timed).get("curr", ""), 1e-3),
        centre_ms=_ms(timed.get(centre, ""), 1e-3),
        statistic="mean" if centre == "avg" else "median",
        runs=runs,
        warmup=warmup,
        peak_bytes=int(float(next(filter(None, memory.groups()))) * (1 << 20)) if memory else None,
        before_bytes=0 if memory else None,
        threads=asked.threads,
        elsewhere=elsewhere(said, asked.unit),
    )


def _ms(text: str, factor: float) -> float:
    value = float(text or "nan") * factor
    if not math.isfinite(value) or value > 1e9:
        raise DeviceFault(f"benchmark_model told a time that is none: {text[:40] or 'nothing'}")
    return value


def complaint(said: str) -> str:
    """The line in which it says what is wrong, or else its first one."""
    wrong = next((line for line in said.splitlines() if re.match(r"\s*(ERROR|FATAL|F |E )|.*(?i:error|failed)", line)), "")
    return first_line(wrong) or first_line(said) or "nothing"


REPLACED = re.compile(r"Replacing (\d{1,7}) out of (\d{1,7}) node\(s\) with delegate \(([\w -]{1,60})\)")
LEFT = re.compile(r"(?:(\d{1,7}) operations will run on the GPU, and the remaining|all) (\d{1,7}) operations will run on the CPU")
REFUSED = re.compile(r"operations are not supported by GPU delegate: *\n(.*?)\n[^\n]*operations will run on", re.DOTALL)
CPUS = ("xnnpack", "ynnpack")


def elsewhere(said: str, unit: Unit) -> str:
    """What did not run on the unit that was asked for; empty where all did, or where it does not tell."""
    if unit is Unit.CPU:
        return ""
    if re.search(r"NNAPI accelerators available: \[(nnapi-reference)?\]", said):
        return "all: this device has no accelerator behind NNAPI"
    if left := LEFT.search(said):
        names = re.findall(r"([A-Z][A-Z0-9_]+):", "\n".join(REFUSED.findall(said)))
        words = f": {', '.join(dict.fromkeys(names))}"[:200] if names else ""
        return f"{left[2]} of {int(left[1] or 0) + int(left[2])} operators{words}"
    if found := REPLACED.findall(said):
        return _not_replaced([(int(n), int(of), name) for n, of, name in found])
    if re.search(r"Though \w+ delegate is explicitly applied, the model graph will not be executed", said):
        return "all operators"
    partly = re.search(r"will be partially executed by the delegate w/ (\d{1,7}) delegate kernels", said)
    return f"what is outside of {partly[1]} parts that the delegate took" if partly else ""


def _not_replaced(found: list[tuple[int, int, str]]) -> str:
    """Delegates are applied one after another, each to what those before it left, so the first line has the whole."""
    whole = found[0][1]
    taken = sum(n for n, _, name in found if not any(cpu in name.lower() for cpu in CPUS))
    if taken >= whole:
        return ""
    return "all operators" if not taken else f"{whole - taken} of {whole} operators"

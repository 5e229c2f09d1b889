"""How long each operator of a program takes, as ExecuTorch's event tracer wrote it (ETDump), read by its own Inspector."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from edgevit.errors import DamagedFile, NoRuntime
from edgevit.types import OperatorTime, Profile
from targets.etdump_blocks import by_block

RUN, DELEGATE = "Method::execute", "DELEGATE_CALL"
AROUND = (RUN, DELEGATE, "OPERATOR_CALL", "Method::init", "Program::load_method")
"""Events that hold others."""
UNTRACED = "the ExecuTorch that is installed here was built without its event tracer"
ELSEWHERE = (
    "build executor_runner with EXECUTORCH_BUILD_DEVTOOLS and EXECUTORCH_ENABLE_EVENT_TRACER, run it with --etdump_path on the "
    "device, and give the file: --etdump FILE (docs.pytorch.org/executorch/stable/etdump.html)"
)


def record(program: Path, image: np.ndarray, runs: int, into: Path) -> None:
    """Run `program` on `image` (1, 3, H, W) and write the ETDump `into`. Raises NoRuntime where nothing is traced."""
    import torch
    from executorch.extension.pybindings import _portable_lib as runtime

    module: Any = runtime._load_for_executorch(str(program), enable_etdump=True)
    for _ in range(runs):
        module.forward([torch.from_numpy(np.ascontiguousarray(image))])
    if module.has_etdump():
        module.write_etdump_result_to_file(str(into))
    if not into.is_file() or not into.stat().st_size:
        raise NoRuntime(UNTRACED, ELSEWHERE)


def read(file: Path, depth: int) -> Profile:
    """Of a model that is `depth` blocks deep. Raises DamagedFile where it is no ETDump, or holds no run."""
    from executorch.devtools import Inspector

    try:
        blocks = Inspector(etdump_path=str(file)).event_blocks
    except Exception as error:  # of flatc, of a schema, of a foreign file
        raise DamagedFile(f"no ETDump that the installed ExecuTorch reads: {file}") from error
    events = [(block, event) for block in blocks for event in block.events if event.perf_data]
    runs = [block for block, event in events if event.name == RUN]
    if not runs:
        raise DamagedFile(f"no run is recorded in {file}")
    inside = [event for block, event in events if block is runs[-1]]
    (whole,) = (event for event in inside if event.name == RUN)
    traced = any(event.is_delegated_op for event in inside)
    around = tuple(name for name in AROUND if traced or name != DELEGATE)
    computed = [event for event in inside if event.name not in around]
    times: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for event in computed:
        times[_kind(event.name), bool(event.is_delegated_op) or event.name == DELEGATE].append(float(event.perf_data.p50))
    operators = [OperatorTime(name, len(each), sum(each), delegated) for (name, delegated), each in times.items()]
    operators.sort(key=lambda operator: -operator.milliseconds)
    parts = by_block([(_kind(event.name), float(event.perf_data.p50)) for event in computed], depth)
    return Profile(float(whole.perf_data.p50), len(whole.perf_data.raw), tuple(operators), traced, parts)


def _kind(name: str) -> str:
    """XNNPACK numbers its operators: `Softmax (NC, F32) #3`."""
    return re.sub(r" #\d+$", "", name)

"""An ExecuTorch program with its own test: a BundledProgram, which a runtime loads and compares with the outputs within."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

METHOD = "forward"


def write(program: Path, inputs: np.ndarray, outputs: np.ndarray, into: Path) -> None:
    """The whole program, each of `inputs` (N, ...) and the `outputs` (N, classes) expected of them as the file `into`."""
    import torch
    from executorch.devtools import BundledProgram
    from executorch.devtools.bundled_program.config import MethodTestCase, MethodTestSuite
    from executorch.devtools.bundled_program.serialize import serialize_from_bundled_program_to_flatbuffer

    def one(values: np.ndarray) -> list[torch.Tensor]:
        return [torch.from_numpy(values[None].copy())]

    cases = [MethodTestCase(one(given), one(expected)) for given, expected in zip(inputs, outputs, strict=True)]
    bundled: Any = BundledProgram(None, [MethodTestSuite(METHOD, cases)], pte_file_path=str(program))
    into.write_bytes(serialize_from_bundled_program_to_flatbuffer(bundled))


def passes(program: Path, file: Path, images: int, atol: float) -> tuple[bool | None, str]:
    """Whether `program`, as it lies in the bundle `file` of ours, gives what that expects, no output farther off than `atol`; or

    why not. None where the ExecuTorch that is installed was built without one of its delegates.
    """
    from executorch.extension.pybindings import _portable_lib as runtime

    if absent := _delegates(program) - set(runtime._get_registered_backend_names()):
        return None, f"the ExecuTorch that is installed here was built without {', '.join(sorted(absent))}"
    data = file.read_bytes()  # it must outlive the bundle
    bundled: Any = runtime._load_bundled_program_from_buffer(data)
    for number in range(images):
        try:
            bundled.verify_result_with_bundled_expected_output(METHOD, number, rtol=0.0, atol=atol)
        except RuntimeError as error:
            return False, f"image {number}: {error}"
    return True, ""


def _delegates(program: Path) -> set[str]:
    from executorch.exir._serialize._program import deserialize_pte_binary

    plans = deserialize_pte_binary(program.read_bytes()).program.execution_plan
    return {delegate.id for plan in plans for delegate in plan.delegates}

"""Profiles by ExecuTorch's event tracer: files made by its own writer, since the published runtime traces nothing."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest

from edgevit import artifact as artifacts
from edgevit import pipeline, record
from edgevit.errors import DamagedFile, NoRuntime
from edgevit.types import DataChoice, OperatorTime, Profile, silent

serialize = pytest.importorskip("executorch.devtools.etdump.serialize")
schema = pytest.importorskip("executorch.devtools.etdump.schema_flatcc")
etdump = pytest.importorskip("targets.etdump")

MILLISECOND = 1_000_000
CALL = ("DELEGATE_CALL", 8.0, False)


def event(name: str, start: float, milliseconds: float, delegated: bool, instruction: int) -> object:
    profiled = schema.ProfileEvent(
        name=None if delegated else name,
        chain_index=0 if instruction >= 0 else -1,
        instruction_id=instruction,
        delegate_debug_id_int=-1,
        delegate_debug_id_str=name if delegated else None,
        delegate_debug_metadata=None,
        start_time=round(start * MILLISECOND),
        end_time=round((start + milliseconds) * MILLISECOND),
    )
    return schema.Event(profiled, None, None)


def written(file: Path, runs: list[list[tuple[str, float, bool]]], whole: str = "Method::execute") -> Path:
    """A file of `runs`, each the events (name, milliseconds, delegated) of one; the whole takes 10, 11, 12 .. ms."""
    blocks = []
    for number, operators in enumerate(runs):
        events, start = [], 100.0 * number
        for name, milliseconds, delegated in operators:
            events.append(event(name, start, milliseconds, delegated, 0 if delegated or name == "DELEGATE_CALL" else 1))
            start += milliseconds
        events.append(event(whole, 100.0 * number, 10.0 + number, False, -1))
        blocks.append(schema.RunData(name="Execute", bundled_input_index=-1, allocators=[], events=events))
    data = serialize.serialize_to_etdump_flatcc(schema.ETDumpFlatCC(version=0, run_data=blocks))
    file.write_bytes(struct.pack("<I", len(data)) + data)  # as the runtime writes it: its size first
    return file


def test_operators_of_one_kind_are_added_up(tmp_path: Path) -> None:
    run = [("Softmax (NC, F32) #1", 1.0, True), ("Fully Connected #1", 3.0, True), ("Softmax (NC, F32) #2", 2.5, True)]
    run += [CALL, ("native_call_add.out", 0.5, False)]
    found = etdump.read(written(tmp_path / "run.etdp", [run] * 3), 12)
    assert found.traced and found.runs == 3 and found.whole == pytest.approx(11)
    assert found.operators == (
        OperatorTime("Softmax (NC, F32)", 2, pytest.approx(3.5), True),
        OperatorTime("Fully Connected", 1, pytest.approx(3.0), True),
        OperatorTime("native_call_add.out", 1, pytest.approx(0.5), False),
    )


def test_a_delegate_that_was_not_traced_is_one_operator(tmp_path: Path) -> None:
    found = etdump.read(written(tmp_path / "run.etdp", [[CALL]]), 12)
    assert not found.traced
    assert found.operators == (OperatorTime("DELEGATE_CALL", 1, pytest.approx(8.0), True),)


EMBED, ANSWER = ["Convolution", "Add"], ["Multiply", "Fully Connected"]
BLOCK = ["Multiply", "Fully Connected", "Softmax", "Fully Connected", "Add", "Fully Connected", "GELU", "Add"]
LAST = ["Multiply", "Fully Connected", "Softmax", "Slice", "Add", "GELU", "Add"]


def _trace(depth: int) -> list[tuple[str, float, bool]]:
    kinds = [*EMBED, *BLOCK * (depth - 1), *LAST, *ANSWER]
    return [(f"{kind} #{number}", 1.0 if kind != "Softmax" else 3.0, True) for number, kind in enumerate(kinds)]


@pytest.mark.parametrize("depth", [3, 4, 12])
def test_blocks_are_told_by_the_row_that_repeats(depth: int, tmp_path: Path) -> None:
    """The earliest row that repeats begins with the addition of the positions: it is like the one that ends each block."""
    found = etdump.read(written(tmp_path / "run.etdp", [_trace(depth)] * 2), depth)
    names = ["before the blocks", *(f"block {number}" for number in range(depth - 1)), f"block {depth - 1} and the answer"]
    assert [block.name for block in found.blocks] == names
    assert [block.count for block in found.blocks] == [1, *[len(BLOCK)] * (depth - 1), 1 + len(LAST) + len(ANSWER)]
    assert [block.milliseconds for block in found.blocks[1:-1]] == [pytest.approx(10.0)] * (depth - 1)
    assert sum(block.milliseconds for block in found.blocks) == pytest.approx(sum(one.milliseconds for one in found.operators))


@pytest.mark.parametrize(("operators", "depth"), [(_trace(5), 9), (_trace(2), 2), ([CALL], 12)])
def test_blocks_that_cannot_be_told_apart_are_none(operators: list[tuple[str, float, bool]], depth: int, tmp_path: Path) -> None:
    assert etdump.read(written(tmp_path / "run.etdp", [operators]), depth).blocks == ()


def test_a_file_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="no run is recorded"):
        etdump.read(written(tmp_path / "run.etdp", [[("Softmax", 1.0, True)]], whole="Program::load_method"), 12)


@pytest.mark.parametrize("data", [b"", b"no flatbuffer", b"\0" * 64, b"\x20\0\0\0ED00" + b"\xff" * 200])
def test_what_is_no_dump_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.etdp").write_bytes(data)
    with pytest.raises(DamagedFile, match=r"no ETDump|no run"):
        etdump.read(tmp_path / "run.etdp", 12)


def test_a_runtime_that_traces_nothing_says_so(tmp_path: Path) -> None:
    """As the published package is; one with a tracer gives a profile."""
    import torch
    from executorch.exir import to_edge

    exported = torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),))
    (tmp_path / "model.pte").write_bytes(to_edge(exported).to_executorch().buffer)
    try:
        etdump.record(tmp_path / "model.pte", np.zeros((1, 3), np.float32), 2, tmp_path / "run.etdp")
    except NoRuntime as error:
        assert "event tracer" in error.message and "--etdump" in error.hint
    else:
        assert etdump.read(tmp_path / "run.etdp", 12).operators


@pytest.mark.slow
def test_a_profile_is_kept_in_the_artifact(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    """Of a file as a device writes it; the artifact stays whole, and a newer profile takes the place of the older."""
    wanted = [pipeline.Pair("executorch", "fp32")]
    (made,) = pipeline.export(checkpoint, wanted, DataChoice(str(images), "held-out", "refuse"), tmp_path / "out", False, silent)
    dump = written(tmp_path / "run.etdp", [[CALL]])
    for keep in (False, True, True):
        found = pipeline.profile(made.folder, dump, 1, keep, silent)
        there = artifacts.verify(artifacts.read(made.folder))
        assert (artifacts.PROFILE in there.files) is keep
    assert record.read(made.folder / artifacts.PROFILE, Profile) == found
    others = {"files": {}, "seal": "", "folder": Path()}
    assert dataclasses.replace(there, **others) == dataclasses.replace(made, **others)

"""What the tools on an Android device say: real outputs, each with its version in its file, and what no tool should say."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from edgevit.data.preprocess import normalise
from edgevit.errors import BadInput, DeviceFault
from edgevit.types import Asked, Contents, Delegate, Operators, Port, Preprocess, Unit
from targets.devices.android import abi as android_abi
from targets.devices.android import about as android_facts
from targets.devices.android import benchmark_model, executor_runner, raw_images
from targets.devices.android import conditions as android_conditions

HERE = Path(__file__).parent / "android"


def recorded(name: str) -> str:
    return (HERE / name).read_text().partition("----------\n")[2]


def contents(*operators: Operators, delegate: str = "") -> Contents:
    delegates = (Delegate(delegate, 1, None, None),) if delegate else ()
    return Contents("m.pte", "ExecuTorch", 1, "", (), (), operators, delegates, (), ())


def test_an_older_benchmark_model_tells_the_mean() -> None:
    found = benchmark_model.launch(recorded("tflite_2.3_cpu.txt"), Asked(threads=4))
    assert (found.warm_ms, found.first_ms, found.runs, found.warmup) == (0.855, 49.06, 50, 15)
    assert found.centre_ms == pytest.approx(33.2094) and found.statistic == "mean"
    assert found.peak_bytes == int(12.8672 * (1 << 20)) and found.before_bytes == 0
    assert found.elsewhere == "" and found.times_ms == () and found.joules is None and found.cold_ms is None


def test_a_newer_one_tells_the_median_and_its_profile_is_no_phase() -> None:
    found = benchmark_model.launch(recorded("litert_2_cpu.txt"), Asked())
    assert (found.runs, found.warmup, found.statistic) == (2112, 1055, "median")
    assert found.centre_ms == pytest.approx(0.462) and found.first_ms == pytest.approx(1.033)
    assert found.warm_ms == 4.478 and found.peak_bytes == int(11.51 * (1 << 20))


@pytest.mark.parametrize(
    ("name", "unit", "elsewhere"),
    [
        ("tflite_2.3_gpu.txt", Unit.GPU, ""),
        ("tflite_2.9_nnapi.txt", Unit.NPU, "what is outside of 44 parts that the delegate took"),
        (
            "tflite_2.6_gpu_partly.txt",
            Unit.GPU,
            "200 of 297 operators: ARG_MAX, CAST, CONCATENATION, DEQUANTIZE, GATHER_ND",
        ),
        ("litert_2_cpu.txt", Unit.CPU, ""),
        ("litert_2_cpu.txt", Unit.GPU, "all operators"),
    ],
)
def test_what_ran_elsewhere(name: str, unit: Unit, elsewhere: str) -> None:
    assert benchmark_model.launch(recorded(name), Asked(unit)).elsewhere == elsewhere


GPU = "INFO: Replacing {} out of 120 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for subgraph 0.\n"
CPU = "INFO: Replacing 20 out of 23 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 5 partitions for subgraph 0.\n"


@pytest.mark.parametrize(
    ("said", "elsewhere"),
    [
        (GPU.format(98) + CPU, "22 of 120 operators"),
        (GPU.format(120), ""),
        ("Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.", "all operators"),
        ("No operations will run on the GPU, and all 12 operations will run on the CPU.", "12 of 12 operators"),
        ("INFO: NNAPI accelerators available: [nnapi-reference]", "all: this device has no accelerator behind NNAPI"),
        ("nothing of it", ""),
    ],
)
def test_what_delegates_say_of_nodes(said: str, elsewhere: str) -> None:
    assert benchmark_model.elsewhere(said, Unit.NPU) == elsewhere
    assert benchmark_model.elsewhere(said, Unit.CPU) == ""


def test_runs_that_are_all_the_same_have_no_mean() -> None:
    said = "count=0\n\ncount=5 curr=1200(all same) p5=1200 median=1200 p95=1200\n"
    found = benchmark_model.launch(said, Asked(warmup=0))
    assert (found.centre_ms, found.first_ms, found.runs, found.warmup, found.warm_ms) == (1.2, 1.2, 5, 0, None)
    assert benchmark_model.launch("count=0\ncount=1 curr=1200\n", Asked()).centre_ms == 1.2


@pytest.mark.parametrize(
    "said",
    [
        "",
        "count=5",
        "count=5 avg=3\ncount=0 avg=3",
        "count=5 avg=3\ncount=5 avg=nan",
        "count=5\ncount=5 avg=1",
        "count=1 first=1\ncount=1 first=1",
        "count=1 first=1 avg=1\ncount=1 first=1 avg=1e99",
        "\x1b[31mTraceback\x00\ncount=x",
    ],
)
def test_garbage_is_a_fault(said: str) -> None:
    with pytest.raises(DeviceFault) as fault:
        benchmark_model.launch(said, Asked())
    assert fault.value.message.isprintable()


LINES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            ["count=3 first=1 avg=2", "count=0", "Initialized session in 3ms.", "Iteration 1 of 1: 3.0 ms", GPU.format(3)]
        ),
        st.sampled_from(["Model executed successfully 1 time(s) in 3.0 ms.", "Model loaded in 1 ms", "count=1 curr=1e400"]),
    ),
    max_size=8,
).map("\n".join)


@hypothesis.given(LINES)
@hypothesis.settings(max_examples=300)
def test_no_words_end_in_a_traceback(said: str) -> None:
    for read in (
        lambda: benchmark_model.launch(said, Asked(Unit.GPU)),
        lambda: executor_runner.launch(said, Asked(runs=1, warmup=0), contents()),
        lambda: benchmark_model.options(said),
        lambda: executor_runner.options(said),
    ):
        try:
            read()
        except DeviceFault as fault:
            assert fault.message.isprintable()
    android_conditions.reading(said)
    android_facts.read("S", said)


def test_executor_runner_tells_single_runs() -> None:
    lines = [line for line in recorded("executorch_1.5_log.txt").splitlines() if "(12345)" in line]
    said = "\n".join(line.replace("I/ExecuTorch(12345): ", "I ") for line in lines)
    found = executor_runner.launch(said, Asked(runs=3, warmup=2), contents())
    assert found.times_ms == (10.0, 11.0, 10.5) and found.centre_ms == 10.5 and found.statistic == "median"
    assert (found.first_ms, found.warm_ms, found.runs, found.warmup) == (30.5, 29.49, 3, 2)


def test_real_logs_of_executor_runner() -> None:
    one = Asked(runs=1, warmup=0)
    newer = executor_runner.launch(recorded("executorch_1.3_linux.txt"), one, contents())
    assert (newer.times_ms, newer.warm_ms) == ((241.944288,), 4463.268273)
    older = executor_runner.launch(recorded("executorch_0.7_linux.txt"), one, contents())
    assert (older.times_ms, older.centre_ms, older.statistic, older.warm_ms) == ((), 2.904883, "mean", None)
    warmed = executor_runner.launch("Model executed successfully 4 time(s) in 8 ms.", Asked(runs=3, warmup=1), contents())
    assert (warmed.centre_ms, warmed.runs, warmed.warmup) == (2.0, 4, 0)  # the first is among them, and is said to be


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (recorded("executorch_silent_log.txt"), "it said: nothing|said: nothing"),
        ("Model executed successfully 3 time(s) in 8 ms.", "told no times"),
        ("Iteration 2 of 2: 3 ms\nModel executed successfully 2 time(s) in 8 ms.", "told 1 of 2 runs"),
        ("I fine\nE Loading of method forward failed with status 0x20", "status 0x20"),
    ],
)
def test_a_log_without_times_is_a_fault(said: str, words: str) -> None:
    with pytest.raises(DeviceFault, match=words):
        executor_runner.launch(said, Asked(runs=2, warmup=0), contents())


def test_the_unit_of_a_program_is_that_of_its_delegate() -> None:
    found = {
        name: executor_runner.units(contents(delegate=name)) for name in ("", "XnnpackBackend", "VulkanBackend", "QnnBackend")
    }
    assert found == {"": (Unit.CPU,), "XnnpackBackend": (Unit.CPU,), "VulkanBackend": (Unit.GPU,), "QnnBackend": (Unit.NPU,)}
    assert executor_runner.units(contents(delegate="CoreMLBackend")) == ()
    left = contents(
        Operators("aten::add", 2, "forward"),
        Operators("call of VulkanBackend", 1, "forward"),
        Operators("conv", 5, "forward", "Vulkan"),
    )
    assert executor_runner.outside(left, Unit.GPU) == "2 of 7 operators: aten::add"
    assert executor_runner.outside(left, Unit.CPU) == ""


def test_options_are_those_of_the_build() -> None:
    interpreter = benchmark_model.options(recorded("usage_interpreter.txt"))
    compiled = benchmark_model.options(recorded("usage_compiled_model.txt"))
    assert benchmark_model.units(interpreter) == benchmark_model.units(compiled) == (Unit.CPU, Unit.GPU, Unit.NPU)
    npu = Asked(Unit.NPU, threads=2, runs=7, warmup=3)
    assert "--use_nnapi=true" in benchmark_model.measuring(interpreter, "m", npu, 60.0)
    given = benchmark_model.measuring(compiled, "m", npu, 60.0)
    assert {"--use_npu=true", "--num_runs=7", "--warmup_runs=3", "--min_secs=0", "--num_threads=2", "--max_secs=60"} <= set(given)
    with pytest.raises(DeviceFault, match="takes no images"):
        benchmark_model.answering(compiled, "m", npu, "i", (1, 8, 8, 3), "o")
    older = executor_runner.options(recorded("usage_executor_runner_0.5.txt"))
    assert executor_runner.measuring(older, "m", Asked(runs=2, warmup=1)) == ["--model_path=m", "--num_executions=3"]
    with pytest.raises(DeviceFault, match="threads"):
        executor_runner.measuring(older, "m", Asked(threads=2))
    with pytest.raises(DeviceFault, match="takes no images"):
        executor_runner.answering(older, "m", Asked(), "i", "o-0.bin")
    with pytest.raises(DeviceFault, match="no benchmark_model"):
        benchmark_model.options(recorded("usage_executor_runner.txt"))
    with pytest.raises(DeviceFault, match="no executor_runner"):
        executor_runner.options(recorded("usage_interpreter.txt"))


def test_abi(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    for machine, width, name in (
        (183, 2, "arm64-v8a"),
        (40, 1, "armeabi-v7a"),
        (62, 2, "x86_64"),
        (8, 1, "machine 8 of 32 bits"),
    ):
        program.write_bytes(b"\x7fELF" + bytes([width, 1, 1]) + bytes(9) + b"\3\0" + machine.to_bytes(2, "little"))
        assert android_abi.abi(program) == name
    with pytest.raises(DeviceFault, match="tool is built for machine 8 of 32 bits, and the device takes arm64-v8a"):
        android_abi.require(program, ("arm64-v8a",))
    for content in (b"", b"#!/bin/sh\n" + bytes(40), b"\x7fELF\2\2\1" + bytes(30)):
        program.write_bytes(content)
        with pytest.raises(BadInput, match="no program for Android"):
            android_abi.abi(program)


def test_conditions_by_what_can_be_read() -> None:
    said = "\n".join(("1800000\n600000", "edgevit-cut", "a\nb\na", "edgevit-cut", "cpu  5 0 5 80 10 0 0 0", "edgevit-cut"))
    first = android_conditions.reading(said + "\nHAL Ready: false\nedgevit-cut\n41000\n-273000\n38\n999999\n")
    assert (first.mhz, first.governor, first.celsius) == (1200.0, "a, b", 41.0)
    later = android_conditions.reading("edgevit-cut edgevit-cut cpu 205 0 5 80 110 0 0 0")
    busy = android_conditions.conditions(later, 3.0, first.load, 0.5)
    assert busy.busy == pytest.approx((200 - 50) / 300) and busy.mhz is None and busy.celsius is None
    assert android_conditions.conditions(later, 3.0, first.load, None).busy is None
    assert android_conditions.conditions(first, 3.0, later.load, 0.0).busy is None  # it started anew
    assert android_conditions.own_seconds("0m0.10s 0m0.20s\n1m0.00s 0m1.50s\n") == pytest.approx(61.8)
    assert android_conditions.own_seconds("0m0.10s") is None


PLAIN = Preprocess((8, 8), (8, 8), "bilinear")


def test_images_go_in_as_the_port_takes_them() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), np.uint8)
    floats = normalise(pixels, PLAIN)
    first = raw_images.entering(Port("x", "float32", (1, 3, 6, 8)), pixels, PLAIN)
    last = raw_images.entering(Port("x", "float32", (1, 6, 8, 3)), pixels, PLAIN)
    assert first.dtype == last.dtype == np.float32 and (first == floats).all()
    assert (last == floats.transpose(0, 2, 3, 1)).all() and last.flags.c_contiguous
    assert (raw_images.entering(Port("x", "uint8", (1, 6, 8, 3)), pixels, PLAIN) == pixels).all()
    litert = pytest.importorskip("targets.litert")
    port = Port("x", "int8", (1, 6, 8, 3), 0.0173, -3)
    details = {"shape": (1, 6, 8, 3), "dtype": np.int8, "quantization": (0.0173, -3)}
    whole = raw_images.entering(port, pixels, PLAIN)
    assert (whole == np.concatenate([litert.entering(details, floats[i : i + 1]) for i in range(2)])).all()
    for wrong in (Port("x", "float32", (1, 8, 8, 3)), Port("x", "float16", (1, 6, 8, 3)), Port("x", "int8", (1, 6, 8, 3))):
        with pytest.raises(DeviceFault):
            raw_images.entering(wrong, pixels, PLAIN)


def test_answers_come_out_as_floats() -> None:
    whole = np.array([[3, -4], [100, 5]], np.int8)
    found = raw_images.leaving(Port("y", "int8", (1, 2), 0.5, 1), whole.tobytes(), 2)
    assert found.dtype == np.float32 and found.tolist() == [[1.0, -2.5], [49.5, 2.0]]
    for content in (b"", b"123", np.zeros(3, np.float32).tobytes(), np.full(4, np.nan, np.float32).tobytes()):
        with pytest.raises(DeviceFault):
            raw_images.leaving(Port("y", "float32", (1, 2)), content, 2)

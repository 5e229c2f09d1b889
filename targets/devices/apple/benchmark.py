"""What coremltools' MLModelBenchmarker measures, and its models asked again and again. `phone` is None on the Mac itself."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from edgevit.data import preprocess
from edgevit.errors import DeviceFault
from edgevit.lean import COREML_EXTRAS, without
from edgevit.types import Conditions, Input, Launch, Model, Moment
from targets.coreml import CoremlRunner
from targets.devices.apple import conditions as apple_conditions
from targets.devices.apple import plan as apple_plan
from targets.devices.apple.order import Order

with without(*COREML_EXTRAS):
    import coremltools
    from coremltools.models.ml_program.experimental import async_wrapper, perf_utils

STRETCH = 5.0
"""Seconds of one moment of a sustained run; on a phone one image may take longer."""
SEED = 0


def given(model: Model) -> dict[str, Any]:
    """One image of noise, as the package takes it: coremltools' own random inputs fail for images."""
    height, width = model.preprocess.crop
    pixels = np.random.default_rng(SEED).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    if model.input is Input.PIXELS:
        return {"image": Image.fromarray(pixels[0])}
    return {"images": preprocess.normalise(pixels, model.preprocess)}


def _package(order: Order) -> Any:
    """Read, and not loaded: the benchmarker loads it, and measures that."""
    assert order.model is not None
    units = apple_plan.units(order.asked.unit)
    return coremltools.models.MLModel(str(order.model.file), compute_units=units, skip_model_load=True)


async def launch(order: Order, phone: Any) -> Launch:
    """Load, first answer, warm-up, timed runs, and then the second load: two loaded at once would double the peak."""
    assert order.model is not None
    benchmarker = perf_utils.MLModelBenchmarker(_package(order), device=phone)
    inputs, asked, held = given(order.model), order.asked, _peak()
    cold = await benchmarker.benchmark_load(iterations=1)
    first = await benchmarker.benchmark_predict(inputs=inputs, iterations=1)
    if asked.warmup:
        await benchmarker.benchmark_predict(inputs=inputs, iterations=asked.warmup)
    timed = await benchmarker.benchmark_predict(inputs=inputs, iterations=asked.runs)
    peak = _peak()
    warm = await benchmarker.benchmark_load(iterations=1)
    return Launch(
        cold_ms=cold.samples[0],
        warm_ms=warm.samples[0],
        first_ms=first.samples[0],
        times_ms=tuple(timed.samples),
        runs=len(timed.samples),
        warmup=asked.warmup,
        peak_bytes=peak if phone is None else None,
        before_bytes=held if phone is None else None,
    )


def _peak() -> int:
    """The most memory that this process has held so far: macOS counts it in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def sustain(order: Order, phone: Any, tell: Callable[[Moment], None]) -> None:
    """After the warm-up one image after the other for `order.seconds`; a moment every STRETCH."""
    assert order.model is not None
    benchmarker = perf_utils.MLModelBenchmarker(_package(order), device=phone)
    inputs = given(order.model)
    await benchmarker.benchmark_predict(inputs=inputs, iterations=max(1, order.asked.warmup))
    ends = time.monotonic() + order.seconds
    while time.monotonic() < ends:
        times: list[float] = []
        stretch = min(ends, time.monotonic() + STRETCH)
        while not times or time.monotonic() < stretch:
            times += (await benchmarker.benchmark_predict(inputs=inputs, iterations=1)).samples
        tell(Moment(len(times), statistics.median(times), _conditions(order)))


def _conditions(order: Order) -> Conditions:
    return apple_conditions.now(order.began) if order.udid is None else Conditions(time.time() - order.began)


async def answers(order: Order, phone: Any) -> None:
    """Those on `order.pixels`, written to `order.logits` as float32 (N, classes)."""
    assert order.model is not None and order.pixels is not None and order.logits is not None
    pixels = np.load(order.pixels, allow_pickle=False)
    if phone is not None:
        given = await _on_phone(order, phone, preprocess.normalise(pixels, order.model.preprocess))
    else:
        takes_pixels = order.model.input is Input.PIXELS
        runner = CoremlRunner(order.model.file, apple_plan.NAMES[order.asked.unit])
        given = runner(pixels if takes_pixels else preprocess.normalise(pixels, order.model.preprocess))
    np.save(order.logits, given.astype(np.float32), allow_pickle=False)


async def _on_phone(order: Order, phone: Any, images: np.ndarray) -> np.ndarray:
    package = _package(order)
    loaded = async_wrapper.MLModelAsyncWrapper.from_spec_or_path(
        spec_or_path=str(order.model.file),  # type: ignore[union-attr]
        weights_dir=package.weights_dir or "",
        compute_units=package.compute_unit,
        device=phone,
    )
    await loaded.load()
    return np.concatenate([_logits(await loaded.predict({"images": image[None]}, state=None)) for image in images])


def _logits(said: dict[str, Any]) -> np.ndarray:
    if "logits" not in said:
        raise DeviceFault(f"the model gave {', '.join(map(str, said))[:100] or 'nothing'} and no logits")
    return np.asarray(said["logits"], np.float32)

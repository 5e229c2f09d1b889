"""TFLite by LiteRT with XNNPACK: the CPU of Android; here, the same runtime on this machine's CPU."""

from __future__ import annotations

from pathlib import Path

from edgevit.types import Footprint, Library, MetadataWriter, Target, Trace
from targets.litert import LitertRunner
from targets.tflite_described import described
from targets.tflite_runtimes import RUNTIMES, judged, load_in
from targets.tolerances import DYNAMIC, FP32

__all__ = ["RUNTIMES", "TARGET", "described", "judged", "load", "load_in", "trace"]

TARGET = Target(
    name="tflite",
    summary="TFLite, LiteRT with XNNPACK: CPU of Android, iOS, Linux; images (1, H, W, 3)",
    converter="tflite",
    suffix=".tflite",
    runtime="LiteRT interpreter",
    recipes={"fp32": FP32, **DYNAMIC},
    activations=("dynamic", "static"),
    needs=(
        Library("ai_edge_litert", "tflite"),
        Library("litert_torch", "tflite"),
        Library("ai_edge_quantizer", "tflite"),
        Library("torchao", "tflite"),
    ),
    footprint=Footprint(800 << 20, 1.35),
    seconds=(33.0, 26.0),
    max_subgraphs=1,
    max_outside=0,
    pixels_outside=0,
    metadata=MetadataWriter("tflite_metadata", (Library("tflite_support", "tflite"), Library("libusb_package", "tflite"))),
    apps=("python-litert", "kotlin-litert"),
)


def trace(file: Path) -> Trace:
    from targets.tflite_trace import TfliteTrace

    return TfliteTrace(file)


def load(file: Path, threads: int | None) -> LitertRunner:
    return LitertRunner(file, threads)

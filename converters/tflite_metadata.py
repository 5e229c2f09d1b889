"""TFLite's own metadata: what the pixels become, what comes out, the labels; as Android's tools read it.

tflite-support says what stands in it. It does not write the file: its older schema would drop what it does not know, buffers
outside of the flatbuffer and scales of groups, without a word. So its bytes go in by LiteRT's schema.
"""

from __future__ import annotations

import copy
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

import edgevit
from converters import flatbuffer
from edgevit import record
from edgevit.lean import with_libusb
from edgevit.said import LABELS, PREPROCESS
from edgevit.types import Artifact, Input, Preprocess

with with_libusb():
    from tensorflow_lite_support.metadata import metadata_schema_py_generated as metadata_schema
    from tensorflow_lite_support.metadata.python.metadata import MetadataPopulator
    from tensorflow_lite_support.metadata.python.metadata_writers import metadata_info, metadata_writer

NAME = b"TFLITE_METADATA"
WHITE = 255
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of the files within, so that two exports are equal."""


def describe(path: Path, artifact: Artifact) -> tuple[str, ...]:
    """Write the metadata of `artifact` into its file at `path`, and what it could not say as notes."""
    file = flatbuffer_utils.read_model(str(path))
    notes = (NO_LABELS,) if _unlisted(artifact) else ()
    content = _metadata(_without_weights(file), artifact, file)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, flatbuffer.add_buffer(file, content)
    file.metadata = [*(other for other in file.metadata or [] if other.name != NAME), entry]
    flatbuffer.write(file, path)
    _append(path, artifact)
    return notes


NO_LABELS = f"TFLite's {LABELS} has a line for each class, and a label of two lines: the file holds no labels"


def _unlisted(artifact: Artifact) -> bool:
    return any(len(label.splitlines()) > 1 for label in artifact.labels)


def _without_weights(file: Any) -> bytes:
    """The file with empty buffers, which is all that tflite-support reads: it copies what it is given again and again."""
    bare = copy.copy(file)
    bare.buffers = [schema.BufferT() for _ in file.buffers]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(bare))


def _metadata(content: bytes, artifact: Artifact, file: Any) -> bytes:
    (graph,) = file.subgraphs
    image, answer = (graph.tensors[int(places[0])].type for places in (graph.inputs, graph.outputs))
    assert artifact.preprocess
    with tempfile.TemporaryDirectory(prefix="edgevit-") as scratch:
        labels = Path(scratch) / LABELS
        labels.write_text(_lines(artifact), encoding="utf-8")
        files = [] if _unlisted(artifact) else [metadata_info.LabelFileMd(str(labels))]
        pixels = artifact.input is Input.PIXELS
        answers = "probability" if pixels else "logits"
        classes = metadata_info.ClassificationTensorMd(answers, "of each class", files, answer if pixels else None)
        writer = metadata_writer.MetadataWriter.create_from_metadata_info(
            bytearray(content), _general(artifact), [_image(artifact.preprocess, image, pixels)], [classes]
        )
        populator = MetadataPopulator.with_model_buffer(bytearray(content))
        populator.load_metadata_buffer(bytes(writer._metadata_buffer))  # it knows which parser so much needs
        return bytes(populator._metadata_buf)


def _general(artifact: Artifact) -> Any:
    config = artifact.config
    assert config
    height, width = config.image_size
    words = f"Vision Transformer {config.variant} for images of {height} x {width}, {config.classes} classes, {artifact.recipe}"
    return metadata_info.GeneralMd(f"edgevit {config.variant}", edgevit.__version__, words, f"edgevit {edgevit.__version__}")


def _image(preprocess: Preprocess, kind: int, pixels: bool) -> Any:
    """Normalisation as it is written there: (pixel - mean) / std, of pixels 0 to 255."""
    mean, std = ([0.0], [1.0]) if pixels else ([WHITE * v for v in preprocess.mean], [WHITE * v for v in preprocess.std])
    words = f"RGB, resized and cropped as {PREPROCESS} in this file says"
    return metadata_info.InputImageTensorMd("image", words, mean, std, metadata_schema.ColorSpaceType.RGB, kind)


def _append(path: Path, artifact: Artifact) -> None:
    """The zip that stands behind a model: labels, and what metadata has no words for."""
    files = {PREPROCESS: json.dumps(record.builtins(artifact.preprocess), indent=1)}
    if not _unlisted(artifact):
        files[LABELS] = _lines(artifact)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)


def _lines(artifact: Artifact) -> str:
    return "".join(f"{label}\n" for label in artifact.labels)

"""What an ExecuTorch program says of itself: constant methods, each of which takes nothing and gives one text.

labels      JSON, the names of the classes in the order of what `forward` gives
preprocess  JSON, what a pixel becomes on its way into the model, as in the record of the artifact
input       `tensor`, float32 normalised as `preprocess` says, or `pixels`, uint8 that are normalised inside
edgevit     the version of edgevit that made it; a program without this method is not edgevit's
runtime     the version of ExecuTorch that made it, and that a runtime may not be older than
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgevit import record
from edgevit.errors import DamagedFile
from edgevit.types import Described, Input, Preprocess

LABELS, PREPROCESS, INPUT, EDGEVIT, RUNTIME = "labels", "preprocess", "input", "edgevit", "runtime"


def written(described: Described) -> dict[str, str]:
    """Each method with its text, of a file that says everything. A text for each class would take four times the bytes."""
    assert described.labels is not None and described.preprocess and described.input
    return {
        LABELS: msgspec.json.encode(described.labels).decode(),
        PREPROCESS: msgspec.json.encode(described.preprocess).decode(),
        INPUT: described.input.value,
        EDGEVIT: described.versions["edgevit"],
        RUNTIME: described.versions["executorch"],
    }


def read(text: Callable[[str], str]) -> Described:
    """What the methods say, where `text` gives the text of each. Raises DamagedFile where one says what `written` never does."""
    versions = {"edgevit": text(EDGEVIT), "executorch": text(RUNTIME)}
    try:
        labels = record.decode(text(LABELS), tuple[str, ...])
        return Described(labels, record.decode(text(PREPROCESS), Preprocess), Input(text(INPUT)), versions)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedFile(f"a program that does not say of itself what edgevit's say: {error}") from error

"""The values within a TFLite file, as the kernels that run it give them: XNNPACK's too, which keep none that nobody asks for."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from edgevit.errors import DamagedFile
from edgevit.types import Computed
from targets.litert import entering, floats

SHOWN = (np.float32, np.int8, np.int16)
"""Types of what stands for floats."""
AROUND = re.compile(r"^(ChannelsLast/)?(Authored_model/)?")
"""What holds the model, in the names of a converted file."""


class TfliteTrace:
    """A copy of the file in memory that gives the value of every operator besides its answer. Raises DamagedFile.

    Delegates then hand over what they would keep to themselves, and compute it as before. Integers are shown as floats.
    """

    blind = ""

    def __init__(self, file: Path) -> None:
        try:
            content, given = _opened(file)
            self._interpreter = Interpreter(model_content=content, num_threads=os.cpu_count() or 1)
            self._interpreter.allocate_tensors()
        except Exception as error:  # of readers of other people's files, which may raise anything
            raise DamagedFile(f"no TFLite file whose values can be shown: {file}") from error
        self._details = {int(tensor["index"]): tensor for tensor in self._interpreter.get_tensor_details()}
        nodes = self._interpreter._get_ops_details()
        delegates = sum(node["op_name"] == "DELEGATE" for node in nodes)
        self.logits = given
        self.computed = tuple(
            self._computed(node, int(place))
            for node in nodes
            if node["op_name"] != "DELEGATE"
            for place in node["outputs"]
            if self._details[int(place)]["dtype"] in SHOWN
        )
        others = f"LiteRT's kernels, with {delegates} parts by XNNPACK's" if delegates > 1 else "LiteRT's own kernels"
        kernels = "XNNPACK's kernels, as LiteRT runs it" if delegates == 1 else others
        self.words = f"{kernels}, every value of the file handed out"
        self._image = self._interpreter.get_input_details()[0]

    def __call__(self, image: np.ndarray, wanted: Collection[int]) -> dict[int, np.ndarray]:
        self._interpreter.set_tensor(self._image["index"], entering(self._image, image))
        self._interpreter.invoke()
        return {place: self._floats(place) for place in wanted}

    def _computed(self, node: dict[str, Any], place: int) -> Computed:
        tensor = self._details[place]
        return Computed(
            place, plain(tensor["name"]), node["op_name"], tuple(map(int, tensor["shape"])), tuple(map(int, node["inputs"]))
        )

    def _floats(self, place: int) -> np.ndarray:
        return floats(self._details[place], np.array(self._interpreter.get_tensor(place)))


def _opened(file: Path) -> tuple[bytes, int]:
    """The file with all that it computes as outputs, and which of them is its answer."""
    model = flatbuffer_utils.read_model(str(file))
    (graph,) = model.subgraphs
    (answer,) = graph.outputs
    graph.outputs = np.array([int(place) for operator in graph.operators for place in operator.outputs], np.int32)
    model.signatureDefs = []
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), int(answer)


def plain(name: str) -> str:
    """`package.Class_attribute/..` as the converter writes it, without packages and the names that were joined to it."""
    own = re.sub(r"[\w.]+\.(\w+)", r"\1", name.partition(";;")[0])
    return AROUND.sub("", own)

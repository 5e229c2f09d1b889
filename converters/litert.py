"""What LiteRT's delegate for the CPU takes of a TFLite file, ours or not, as the interpreter itself says it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from edgevit.types import Taken


def taken(path: Path) -> Taken:
    """Of the first graph of the file, on this machine.

    The interpreter lists every node of the file and, once delegated, the delegates besides. What still runs outside them is
    found by walking back from the outputs: a tensor that a delegate gives comes from there, any other from its own node.
    """
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    maker = {int(t): node for node in (*nodes, *delegates) for t in node["outputs"]}
    due = [int(tensor["index"]) for tensor in interpreter.get_output_details()]
    reached = {}
    while due:
        node = maker.get(due.pop())
        if node and node["index"] not in reached:
            reached[node["index"]] = node["op_name"]
            due += [int(t) for t in node["inputs"]]
    left = Counter(name for name in reached.values() if name != "DELEGATE")
    return Taken("XNNPACK", len(delegates), len(nodes) - len(delegates) - left.total(), tuple(left.most_common()))

"""A stand-in for ai-edge-litert whose "models" say how they behave: what a device's runtime may do wrong, quickly and each time.

A model is a line of JSON: {"behave": "well" | "hang" | "die" | "garbage" | "raise" | "slow"}. Its answer to an image (1, 4, 4, 3)
is the image itself, (1, 48).
"""

from pathlib import Path

SOURCE = """
import json, os, signal, sys, time
import numpy as np

class Interpreter:
    def __init__(self, model_path, num_threads):
        self.how = json.loads(open(model_path).read())["behave"]
        print("a runtime that prints what it likes")
        if self.how == "raise":
            raise ValueError("Model provided has\\nan unknown operator")

    def allocate_tensors(self):
        pass

    def get_input_details(self):
        return [{"index": 0, "shape": np.array([1, 4, 4, 3]), "dtype": np.float32}]

    def get_output_details(self):
        return [{"index": 1, "dtype": np.float32}]

    def set_tensor(self, index, value):
        self.image = value

    def invoke(self):
        if self.how == "hang":
            time.sleep(600)
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "garbage":
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, b"\\x00 no message \\n")
                except OSError:
                    pass
        if self.how == "slow":
            time.sleep(0.02)

    def get_tensor(self, index):
        return self.image.reshape(1, -1)
"""


def install(folder: Path) -> Path:
    """The package into a folder for PYTHONPATH."""
    package = folder / "stub" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text(SOURCE)
    return package.parent

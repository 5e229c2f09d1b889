"""How far an artifact may be from its checkpoint, by the form of its weights.

The relative error is that of the file from the model as it was quantized: what converting did. Drop and agreement are beside the
checkpoint: what quantizing did too. DeiT-Ti's figures on 1,000 images are in docs/results.md.
"""

from __future__ import annotations

from edgevit.types import Tolerance

FP32 = Tolerance(1e-4, 0.002, 0.998)
FP16 = Tolerance(0.02, 0.005, 0.995)
INT8 = Tolerance(0.1, 0.005, 0.99)
PALETTES = {
    "palette8": Tolerance(0.02, 0.005, 0.99),
    "palette6": Tolerance(0.02, 0.01, 0.96),
    "palette4": Tolerance(0.02, 0.03, 0.9),
}
INT4 = {
    "int4-g32": Tolerance(0.1, 0.02, 0.92),
    "int4-g64": Tolerance(0.1, 0.025, 0.9),
    "int4-g128": Tolerance(0.1, 0.03, 0.88),
    "int4": Tolerance(0.1, 0.04, 0.85),
}

"""How far an artifact may be from its checkpoint, by the form of its weights.

The relative error is that of the file from the model as it was quantized: what converting did. Drop and agreement are beside the
checkpoint: what quantizing did too. DeiT-Ti's figures on 1,000 images are in docs/results.md.
"""

from __future__ import annotations

from dataclasses import replace

from edgevit.types import Tolerance

FP32 = Tolerance(1e-4, 0.002, 0.998)
FP16 = Tolerance(0.02, 0.005, 0.995)
WEIGHTS = {
    "int8": Tolerance(0.02, 0.005, 0.99),
    "int4-g32": Tolerance(0.02, 0.01, 0.93),
    "int4-g64": Tolerance(0.02, 0.01, 0.93),
    "int4-g128": Tolerance(0.02, 0.01, 0.93),
    "int4": Tolerance(0.02, 0.01, 0.93),
    "palette8": Tolerance(0.02, 0.005, 0.99),
    "palette6": Tolerance(0.02, 0.005, 0.96),
    "palette4": Tolerance(0.02, 0.015, 0.9),
}
"""Where activations stay in float, of 16 bits as Core ML's."""
INT4 = tuple(name for name in WEIGHTS if name.startswith("int4"))
PALETTES = tuple(name for name in WEIGHTS if name.startswith("palette"))
DYNAMIC = {name: replace(WEIGHTS[name], relative_error=0.1) for name in ("int8", *INT4)}
"""Where activations are rounded too: a token on the edge of two integers falls to another one in the runtime than in torch."""
STATIC = Tolerance(0.2, 0.007, 0.96)
"""Where activations have scales known beforehand. Every rounding is a step, and what falls to the other side of one moves what
follows: a millionth of noise in the images moves DeiT-Ti's logits by 0.08 in torch itself."""
INTEGERS = replace(STATIC, relative_error=0.3)
"""Where all between the Linears is integers too: the file rounds what its model in torch does not, attention logits and
probabilities above all. DeiT-Ti is off by 0.17, a tiny model of random weights by up to 0.21."""

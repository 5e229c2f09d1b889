"""Weights that others trained: read from their files, carried over exactly, and written back under their names.

One file per format (`FORMATS`) knows its names, its shapes and what its config says. Nothing is guessed: what is said neither by
the tensors, nor by their config, nor by the user, is an error that names the options that say it. Only the number of attention
heads of a published encoder is taken from its shape, and recorded as that. `bring.bring` is the way in.
"""

FORMATS = ("google", "torchvision", "huggingface", "timm")
"""In the order in which they are asked whether the names are theirs."""

EXPORTS = ("timm", "huggingface")
"""Formats that edgevit also writes."""

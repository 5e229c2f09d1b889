"""edgevit: a folder of labelled images to a Vision Transformer on a phone, with proof that it still answers right."""

__version__ = "0.1.0"

"""coremltools' reader of saved programs."""

from edgevit.lean import COREML_EXTRAS, without

with without(*COREML_EXTRAS):
    from coremltools import proto
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.converters.mil.mil import types

__all__ = ["load", "proto", "types"]

"""coremltools' reader of saved programs."""

from edgevit.lean import COREML_EXTRAS, without
from edgevit.protomaps import without_copies

with without(*COREML_EXTRAS):
    from coremltools import proto
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.converters.mil.mil import types

without_copies(proto.MIL_pb2.DESCRIPTOR)

__all__ = ["load", "proto", "types"]

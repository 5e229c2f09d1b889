"""Protocol Buffers in plain Python, without a copy of each value in a map at each level of maps within maps.

The compiled forms need none of this. tflite-support holds protobuf to 3.20, which has no compiled form for Python 3.11. There
the sizer and the encoder make an entry of every value in a map, which copies the value with all that is in it (its source
says "wasteful"), and the decoder copies what it has read. A Core ML model is a map of functions, maps of blocks, of
operations with maps of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.internal import api_implementation, decoder, encoder, wire_format


def without_copies(file: FileDescriptor) -> None:
    """From now on the messages of `file` write and read maps of messages without copies: the same bytes, the same messages."""
    if api_implementation.Type() != "python":
        return
    for message in _messages(file.message_types_by_name.values()):
        for field in message.fields:
            if _maps_to_messages(field):
                field._sizer, field._encoder = _sizer(field), _encoder(field)
                tag = encoder.TagBytes(field.number, wire_format.WIRETYPE_LENGTH_DELIMITED)
                decoders = message._concrete_class._decoders_by_tag
                decoders[tag] = (_decoder(field, tag), decoders[tag][1])


def _messages(some: Any) -> Iterator[Descriptor]:
    for message in some:
        yield message
        yield from _messages(message.nested_types)


def _maps_to_messages(field: FieldDescriptor) -> bool:
    kind = field.message_type
    if kind is None or not kind.GetOptions().map_entry:
        return False
    return bool(kind.fields_by_name["value"].cpp_type == FieldDescriptor.CPPTYPE_MESSAGE)


def _entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    fields = field.message_type.fields_by_name
    return fields["key"], fields["value"]


def _sizer(field: FieldDescriptor) -> Callable[[Any], int]:
    """Bytes of a map: of each entry the tag, the length, the key and the value."""
    key, value = _entry(field)
    tag = len(encoder.TagBytes(field.number, wire_format.WIRETYPE_LENGTH_DELIMITED))

    def size(values: Any) -> int:
        sizes = [key._sizer(name) + value._sizer(values[name]) for name in values]
        return sum(tag + encoder._VarintSize(each) + each for each in sizes)

    return size


def _encoder(field: FieldDescriptor) -> Callable[[Callable[[bytes], Any], Any, bool], None]:
    key, value = _entry(field)
    tag = encoder.TagBytes(field.number, wire_format.WIRETYPE_LENGTH_DELIMITED)

    def encode(write: Callable[[bytes], Any], values: Any, deterministic: bool) -> None:
        for name in sorted(values) if deterministic else values:
            write(tag)
            encoder._EncodeVarint(write, key._sizer(name) + value._sizer(values[name]), deterministic)
            key._encoder(write, name, deterministic)
            value._encoder(write, values[name], deterministic)

    return encode


def _decoder(field: FieldDescriptor, tag: bytes) -> Callable[..., int]:
    def decode(buffer: memoryview, at: int, end: int, message: Any, fields: dict[FieldDescriptor, Any]) -> int:
        values = fields.get(field)
        if values is None:
            values = fields.setdefault(field, field._default_constructor(message))
        while True:
            size, at = decoder._DecodeVarint(buffer, at)
            after = at + size
            if after > end:
                raise decoder._DecodeError("Truncated message.")
            entry = field.message_type._concrete_class()
            if entry._InternalParse(buffer, at, after) != after:
                raise decoder._DecodeError("Unexpected end-group tag.")
            read = entry.value
            read._SetListener(values._message_listener)
            values._values[entry.key] = read
            at = after + len(tag)
            if buffer[after:at] != tag or after == end:
                return after

    return decode

"""Maps of messages without copies: beside the library's own, in a pool of messages each."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevit.protomaps import without_copies
from targets.mil.library import proto

pytestmark = pytest.mark.skipif(api_implementation.Type() != "python", reason="a compiled protobuf is left as it is")


def _node() -> bytes:
    """A file with one message: a tree whose children are a map, beside plain maps, which are not touched, and a oneof."""
    file = descriptor_pb2.FileDescriptorProto(name="tree.proto", package="tree", syntax="proto3")
    node = file.message_type.add(name="Node")
    node.oneof_decl.add(name="either")
    for name, value in {"children": ".tree.Node", "plain": ""}.items():
        entry = node.nested_type.add(name=name.capitalize() + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=9, label=1)
        entry.field.add(name="value", number=2, type=11 if value else 5, label=1, type_name=value or None)
        node.field.add(name=name, number=len(node.field) + 1, type=11, label=3, type_name=f".tree.Node.{entry.name}")
    node.field.add(name="word", number=3, type=9, label=1, oneof_index=0)
    node.field.add(name="only", number=4, type=11, label=1, type_name=".tree.Node", oneof_index=0)
    return bytes(file.SerializeToString())


def _class(described: bytes, name: str, patched: bool) -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(described)
    made = message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))
    if patched:
        without_copies(made.DESCRIPTOR.file)
    return made


OURS, THEIRS = (_class(_node(), "tree.Node", patched) for patched in (True, False))
TREES = st.recursive(
    st.fixed_dictionaries(
        {}, optional={"word": st.text(max_size=200), "plain": st.dictionaries(st.text(max_size=3), st.integers(0, 9))}
    ),
    lambda below: st.fixed_dictionaries(
        {},
        optional={"children": st.dictionaries(st.text(max_size=3), below, max_size=3), "only": below, "plain": st.just({"a": 1})},
    ),
)


def _grow(node: Any, tree: dict[str, Any]) -> Any:
    for name, value in tree.items():
        if name == "word":
            node.word = value
        elif name == "plain":
            node.plain.update(value)
        elif name == "only":
            _grow(node.only, value)
        else:
            for key, below in value.items():
                _grow(node.children[key], below)
    return node


def _read(kind: Any, data: bytes) -> bytes | str:
    """What is read, written again, or what is said of it."""
    node = kind()
    try:
        node.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        return str(error)
    return bytes(node.SerializeToString())


@given(TREES)
def test_a_tree_is_written_and_read_as_the_library_does(tree: dict[str, Any]) -> None:
    ours, theirs = _grow(OURS(), tree), _grow(THEIRS(), tree)
    for sort in (False, True):
        assert ours.SerializeToString(deterministic=sort) == theirs.SerializeToString(deterministic=sort)
    assert ours.ByteSize() == theirs.ByteSize()
    assert _read(OURS, theirs.SerializeToString()) == _read(THEIRS, theirs.SerializeToString())


@given(TREES, st.data())
@settings(max_examples=300)
def test_damaged_bytes_are_read_or_refused_as_the_library_does(tree: dict[str, Any], data: st.DataObject) -> None:
    written = bytearray(_grow(THEIRS(), tree).SerializeToString())
    for at in data.draw(st.lists(st.integers(0, max(len(written) - 1, 0)), max_size=4)):
        written[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
    cut = bytes(written[: data.draw(st.integers(0, len(written)))])
    assert _read(OURS, cut) == _read(THEIRS, cut)


def test_the_last_of_two_entries_of_one_key_stands() -> None:
    twice = _grow(THEIRS(), {"children": {"a": {"word": "first"}}}).SerializeToString()
    twice += _grow(THEIRS(), {"children": {"a": {"plain": {"b": 1}}}}).SerializeToString()
    assert _read(OURS, twice) == _read(THEIRS, twice)
    assert OURS.FromString(twice).children["a"].word == ""


def test_what_was_read_can_be_changed_and_is_written_anew() -> None:
    ours, theirs = (
        kind.FromString(_grow(THEIRS(), {"children": {"a": {"children": {"b": {}}}}}).SerializeToString())
        for kind in (OURS, THEIRS)
    )
    for node in (ours, theirs):
        before = node.SerializeToString()
        node.children["a"].children["b"].word = "changed"
        node.children["a"].children["c"].only.word = "new"
        assert node.SerializeToString() != before
    assert ours.SerializeToString() == theirs.SerializeToString()
    del ours.children["a"].children["c"]
    assert ours.children["a"].ByteSize() < theirs.children["a"].ByteSize()


def test_a_core_ml_program_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = _class(proto.MIL_pb2.DESCRIPTOR.serialized_pb, "CoreML.Specification.MILSpec.Program", patched=False)()
    ours = proto.MIL_pb2.Program()
    for program in (ours, theirs):
        block = program.functions["main"].block_specializations["CoreML8"]
        block.outputs.append("logits")
        for number in range(40):
            operation = block.operations.add(type="linear")
            operation.inputs["x"].arguments.add(name=f"x{number}")
            operation.attributes["name"].immediateValue.tensor.strings.values.append(f"linear {number}")
    written = ours.SerializeToString()
    assert written == theirs.SerializeToString()
    copied: list[Any] = []
    monkeypatch.setattr(type(ours.functions["main"]), "MergeFrom", lambda self, other: copied.append(other))
    assert proto.MIL_pb2.Program.FromString(written).SerializeToString() == written
    assert not copied

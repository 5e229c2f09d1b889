"""The reader of pickles: what CIFAR's files hold is read as Python reads it, and nothing that a file says is ever called."""

from __future__ import annotations

import os
import pickle
import pickletools
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgevit.data import pickled
from edgevit.errors import DamagedFile

ARRAY = np.arange(24, dtype=np.uint8).reshape(4, 6)


def _read(content: bytes) -> Any:
    return pickled.read(content, "here")


Plain = some.recursive(
    some.sampled_from([None, True, False])
    | some.integers(-(1 << 70), 1 << 70)
    | some.floats(allow_nan=False)
    | some.text()
    | some.binary(),
    lambda inner: some.lists(inner) | some.tuples(inner, inner) | some.dictionaries(some.text(), inner),
    max_leaves=20,
)


@given(Plain)
def test_what_is_plain_is_read_as_it_was_written(value: Any) -> None:
    assert _read(pickle.dumps(value, 2)) == value


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", ">i4", "<i8", "<f4", ">f8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers(kind: str, order: Any) -> None:
    array = np.asarray(ARRAY, kind, order=order)
    found = _read(pickle.dumps({"data": array, "again": array}, 2))
    assert np.array_equal(found["data"], array) and found["data"].dtype == array.dtype
    assert found["again"] is found["data"] and not found["data"].flags.writeable


@pytest.mark.parametrize("array", [np.zeros((0, 5), np.uint8), np.zeros((), np.int64), np.arange(300)])
def test_arrays_of_any_shape(array: np.ndarray) -> None:
    found = _read(pickle.dumps([array], 2))[0]
    assert found.shape == array.shape and np.array_equal(found, array)


def python_2(content: bytes) -> bytes:
    """An array of bytes (2, 3) as Python 2 wrote them, operation by operation: its `str` is bytes."""
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\x09eU\x04dataq\x06"
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01K\x02K\x03\x86"
        b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + len(content).to_bytes(4, "little") + content + b"tbu."
    )


def test_what_python_2_wrote() -> None:
    written = python_2(bytes([0, 1, 127, 128, 254, 255]))
    assert pickle.loads(written, encoding="bytes")[b"labels"] == [6, 9]  # as Python itself reads it
    found = _read(written)
    assert found[b"batch_label"] == b"training batch 1 of 5" and found[b"labels"] == [6, 9]
    assert found[b"data"].tolist() == [[0, 1, 127], [128, 254, 255]] and found[b"data"].dtype == np.uint8


class _Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.what = (function, arguments)

    def __reduce__(self) -> Any:
        return self.what


HOSTILE = {
    "posix.system": _Calls(os.system, "touch owned"),
    "__builtin__.eval": _Calls(eval, "open('owned', 'w')"),
    "__builtin__.exec": _Calls(exec, "open('owned', 'w')"),
    "commands.Popen": _Calls(subprocess.Popen, ["touch", "owned"]),
    "__builtin__.getattr": _Calls(getattr, "os", "system"),
    "collections.OrderedDict": OrderedDict(a=1),
    "fractions.Fraction": Fraction(1, 2),
    "__builtin__.set": {1, 2},
    "__builtin__.bytearray": bytearray(b"a"),
    "__builtin__.complex": 1j,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", [lambda value: value, lambda value: {"labels": [value], "data": ARRAY}])
def test_every_other_name_is_refused_and_never_called(
    name: str, place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DamagedFile, match=f"a pickle with the name '{name}': here") as caught:
        _read(pickle.dumps(place(HOSTILE[name]), 2))
    assert "may run programs" in caught.value.hint and not (tmp_path / "owned").exists()


def test_the_hostile_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterpart of the test above: Python's own reader does what they say."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(HOSTILE["posix.system"], 2))
    assert (tmp_path / "owned").exists()


ASSEMBLED = {
    "INST": b"(ios\nsystem\n.",
    "STRING": b"S'a'\n.",
    "OBJ": b"(cnumpy\ndtype\no.",
    "NEWOBJ": b"\x80\x02cnumpy\nndarray\n(K\x01t\x81.",
    "PERSID": b"Pname\n.",
    "EXT1": b"\x82\x01.",
    "DUP": b"]2.",
    "INT": b"I5\n.",
    "LIST": b"(l.",
    "POP": b"K\x01K\x020.",
}


@pytest.mark.parametrize("name", ASSEMBLED)
def test_an_operation_that_arrays_and_text_do_not_need_is_named(name: str) -> None:
    with pytest.raises(DamagedFile, match=f"a pickle with operation {name}: here"):
        _read(ASSEMBLED[name])


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_another_protocol_is_named(protocol: int) -> None:
    with pytest.raises(DamagedFile, match=f"a pickle with protocol {protocol}, where 2 is known"):
        _read(pickle.dumps({"data": ARRAY}, protocol))


@pytest.mark.parametrize(
    ("called", "words"),
    [
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR(K\x03X\x01\x00\x00\x00|NNNK\x00K\x00K\x00tb.", "type 'O8'"),
        (b"cnumpy\nndarray\n(K\x01tR.", "a call of numpy.ndarray that no array needs"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", "a call of _codecs.encode that no array needs"),
        (b"c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.", "a call of __builtin__.bytes that no array needs"),
        (b"X\x01\x00\x00\x00a)R.", "a call of what is no name"),
    ],
)  # fmt: skip
def test_a_known_name_is_not_called_for_anything_else(called: bytes, words: str) -> None:
    with pytest.raises(DamagedFile, match=words):
        _read(b"\x80\x02" + called)


def test_an_array_of_objects_is_refused() -> None:
    with pytest.raises(DamagedFile, match=r"type 'O8'|an array of objects"):
        _read(pickle.dumps(np.array([1, "a"], dtype=object), 2))
    with pytest.raises(DamagedFile, match="a pickle with an array of type 'V2'"):
        _read(pickle.dumps(np.zeros(2, [("a", "u1"), ("b", "u1")]), 2))


@pytest.mark.parametrize(("shape", "data"), [((2, 3), b"12345"), ((2, 3), b"1234567"), ((-2, -3), b"123456"), ((2, None), b"12")])
def test_an_array_whose_shape_is_not_that_of_its_bytes(shape: Any, data: bytes) -> None:
    whole = pickle.dumps(np.zeros((2, 3), np.uint8), 2)
    wrong = whole.replace(pickle.dumps((2, 3), 2)[2:-3], pickle.dumps(shape, 2)[2:-3]).replace(
        b"X\x06\x00\x00\x00" + bytes(6), b"X" + len(data).to_bytes(4, "little") + data
    )
    assert wrong != whole
    with pytest.raises(DamagedFile, match="not a pickle, or a cut or altered one: here"):
        _read(wrong)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x80\x02", b"\x80\x02.", b"K\x01", b"\x80\x02(K\x01e.", b"\x80\x02h\x05.", b"a."]
)
def test_what_is_no_pickle(content: bytes) -> None:
    with pytest.raises(DamagedFile, match="not a pickle, or a cut or altered one: here"):
        _read(content)


def test_a_cut_or_altered_file_raises_nothing_else() -> None:
    """Cut at every place, and every byte changed in two ways: read, or DamagedFile."""
    whole = pickle.dumps({"data": ARRAY, "labels": [1, 2, -3, 1 << 40], "name": "é", "more": (None, True, 0.5, b"\xff")}, 2)
    for n in range(len(whole)):
        with pytest.raises(DamagedFile):
            _read(whole[:n])
    for n in range(len(whole)):
        for mask in (0x01, 0xFF):
            changed = bytearray(whole)
            changed[n] ^= mask
            try:
                _read(bytes(changed))
            except DamagedFile as error:
                assert "\n" not in error.message and len(error.message) < 300


def _refused_within(content: bytes, most: int) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFile) as caught:
            _read(content)
        assert tracemalloc.get_traced_memory()[1] < most
        return caught.value.message
    finally:
        tracemalloc.stop()


def test_text_is_not_turned_into_bytes_again_and_again() -> None:
    """40 kB that would make a hundred times as many."""
    text = b"\x80\x02c_codecs\nencode\nq\x00X\x40\x9c\x00\x00" + b"a" * 40_000 + b"q\x01X\x06\x00\x00\x00latin1q\x02]q\x03"
    assert "more made of its text than it holds" in _refused_within(text + b"h\x00h\x01h\x02\x86Ra" * 10_000 + b".", 2 << 20)


def test_a_promise_of_more_bytes_than_there_are_takes_no_memory() -> None:
    _refused_within(b"\x80\x02T\xff\xff\xff\x7fabc.", 1 << 20)


def test_operations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "MOST_OPERATIONS", 100)
    assert "more than 100 operations" in _refused_within(b"\x80\x02]" + b"K\x01a" * 50_000 + b".", 1 << 20)
    assert _read(b"\x80\x02]" + b"K\x01a" * 40 + b".") == [1] * 40


def test_an_array_that_is_used_before_it_is_filled_is_no_array() -> None:
    """It is put into a list first, so that what it was when it was announced stays there."""
    early = b"\x80\x02]q\x00cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Ra."
    assert not isinstance(_read(early)[0], np.ndarray)


def test_nothing_is_imported() -> None:
    """Not even to look whether it is there."""
    program = "import sys\nfrom edgevit.data.pickled import read\ntry: read(b'cthis\\ns\\n.', '')\nexcept Exception: pass\n"
    ran = subprocess.run([sys.executable, "-c", program + "sys.exit('this' in sys.modules)"], capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout == "", ran.stderr


def test_the_table_names_operations_that_exist() -> None:
    assert pickled.OPERATIONS.keys() <= {operation.name for operation in pickletools.opcodes}

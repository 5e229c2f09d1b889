"""The errors: their tree is the one in the docstring, an unknown name shows its neighbours, the file system speaks plainly."""

from __future__ import annotations

import errno
import inspect
import os
import re

import pytest

from edgevit import errors
from edgevit.errors import BadInput, EdgevitError, UnknownName, from_os_error

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, EdgevitError)]


def _drawn() -> dict[str, str | None]:
    """Each error of the docstring's tree, and the one that it hangs from."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"([│├└─ ]*)([A-Z]\w+) {2,}", line):
            indent, name = len(match[1]), match[2]
            above = [(depth, other) for depth, other in above if depth < indent]
            found[name] = above[-1][1] if above else None
            above.append((indent, name))
    return found


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    bases = {kind.__name__: kind.__base__.__name__ if kind is not EdgevitError else None for kind in KINDS if kind.__base__}
    assert _drawn() == bases


def test_misuse_is_2_and_all_else_is_1() -> None:
    assert {kind.exit_code for kind in KINDS} == {1, 2}
    for kind in KINDS:
        assert kind.exit_code == (2 if issubclass(kind, BadInput) else 1)


def test_message_hint_and_log() -> None:
    error = EdgevitError("what was wrong: here", "do this")
    assert (str(error), error.message, error.hint, error.log) == ("what was wrong: here", "what was wrong: here", "do this", "")


@pytest.mark.parametrize(
    ("name", "near"),
    [("corml", "coreml"), ("COREML", "coreml"), ("executorh", "executorch"), ("tf-lite", "tflite"), ("zzz", ""), ("", "")],
)
def test_an_unknown_name_shows_its_neighbours_and_takes_none(name: str, near: str) -> None:
    error = UnknownName("target", name, iter(["executorch", "coreml", "tflite"]))
    assert error.message == f"unknown target: {name}" and error.exit_code == 2
    guess, _, known = error.hint.rpartition("known: ")
    assert known == "executorch, coreml, tflite"
    assert guess.startswith(f"nearest: {near}") if near else guess == ""


@pytest.mark.parametrize("number", errors.OF_THE_PLACE)
def test_the_place_that_cannot_be_used(number: int) -> None:
    error = from_os_error(OSError(number, os.strerror(number), "/a/place"))
    assert error.message == f"{os.strerror(number).lower()}: /a/place" and error.hint and error.exit_code == 2


def test_two_places_and_none() -> None:
    """Of a renaming, the new name is the one that was refused."""
    assert from_os_error(OSError(errno.EXDEV, "Cross", "/old", None, "/new")).message == "cross: /new"
    assert from_os_error(OSError("no number and no place")).message == "no number and no place"
    assert from_os_error(OSError(errno.EIO, "Input/output error")).hint == ""

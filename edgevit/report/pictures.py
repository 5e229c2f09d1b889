"""Pictures that a report carries: shown where they carry themselves, named where they do not."""

from __future__ import annotations

from edgevit.report import words
from edgevit.report.samples import PICTURE
from edgevit.types import Gallery, Picture


def build(found: Gallery) -> Gallery:
    """The same with plain words, and without pictures that would be fetched or could hold more than a picture."""
    refused = [p for p in found.pictures if not _carries_itself(p)]
    shown = tuple(_plain(p) for p in found.pictures if _carries_itself(p))
    notes = (*found.notes, *(f"not shown, since the record does not carry its picture: {p.title}" for p in refused))
    return Gallery(shown, tuple(words.plain(note) for note in notes))


def _carries_itself(picture: Picture) -> bool:
    return bool(PICTURE.fullmatch(picture.light) and PICTURE.fullmatch(picture.dark))


def _plain(picture: Picture) -> Picture:
    return Picture(words.plain(picture.title), words.plain(picture.words), picture.light, picture.dark)

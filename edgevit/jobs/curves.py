"""The curves of trainings, drawn from their stories: as a picture, and as a page with all that is known of them."""

from __future__ import annotations

import datetime
from pathlib import Path

from edgevit import folder
from edgevit.training import courses
from edgevit.types import Course


def draw(runs: tuple[Path, ...], picture: Path | None, page: Path | None, dark: bool) -> None:
    """Write each file that is wanted whole, or not at all. Raises BadInput, DamagedFile."""
    found = courses.read_all(runs)
    if picture:
        folder.write_whole(picture, _picture(found, dark))
    if page:
        folder.write_whole(page, _page(found).encode())


def _picture(found: tuple[Course, ...], dark: bool) -> bytes:
    from edgevit.pictures.curves import curves
    from edgevit.pictures.paper import DARK, LIGHT

    return curves(found).png(DARK if dark else LIGHT)


def _page(found: tuple[Course, ...]) -> str:
    from edgevit.report import training

    return training.render(found, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))

"""The way of foreign weights into a model of ours: recognise, see, hear, settle, carry over."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from torch import Tensor

from edgevit.errors import BadInput
from edgevit.types import ViTConfig
from edgevit.vit.foreign import FORMATS
from edgevit.vit.foreign.asked import Asked
from edgevit.vit.foreign.layout import Entry, carried
from edgevit.vit.foreign.said import Given, Said, Seen
from edgevit.vit.foreign.settled import Settled, settled


class Format(Protocol):
    """What the file of each format has."""

    NAME: str
    HEADS: tuple[str, ...]
    """How the names of the heads begin."""
    WHY: dict[str, str]
    """What a tensor that is left over would do, by a part of its name."""

    def recognises(self, names: set[str]) -> bool: ...
    def cleaned(self, given: Given) -> Given: ...
    def seen(self, given: Given) -> Seen: ...
    def said(self, given: Given, seen: Seen) -> Said: ...
    def layout(self, given: Given, config: ViTConfig, before: int) -> list[Entry]: ...


@dataclass(frozen=True)
class Brought:
    """Tensors by our names, float32, exactly those of a ViT of `settled.config`."""

    tensors: dict[str, Tensor]
    settled: Settled


def bring(given: Given, asked: Asked) -> Brought:
    """Raises BadInput for what is not said and for no known format, DamagedFile for tensors that are not as they should be."""
    form = _format(given)
    given = form.cleaned(given)
    if asked.headless:
        given = _without(given, form.HEADS)
    seen = form.seen(given)
    found = settled(given, seen, form.said(given, seen), asked, form.NAME)
    entries = form.layout(given, found.config, found.before)
    return Brought(carried(given, entries, found.config, form.WHY), found)


def _format(given: Given) -> Format:
    names = set(given.tensors)
    for name in FORMATS:
        form = cast("Format", importlib.import_module(f"edgevit.vit.foreign.{name}"))
        if form.recognises(names):
            return form
    some = ", ".join(sorted(names)[:3]) or "none"
    hint = "edgevit reads those of timm, transformers (ViT, DeiT), torchvision and Google's vision_transformer and big_vision"
    raise BadInput(f"{given.origin}: tensors of no format that edgevit knows: {some}", hint)


def _without(given: Given, heads: tuple[str, ...]) -> Given:
    off = tuple(name for name in given.tensors if name.startswith(heads))
    kept = {name: given.tensors[name] for name in given.tensors if not name.startswith(heads)}
    return dataclasses.replace(given, tensors=kept, heads_off=off)

"""The one answer from tensors, config and options: the model's shape, its preprocessing, its labels. Never a guess:
where the shape of a published encoder says its attention heads, that is recorded.

An option wins over the config, and the record says so. A config that contradicts its tensors is an error that names both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Preprocess, Size, ViTConfig
from edgevit.vit.config import ENCODERS, PUBLISHED, Encoder, named, parts, require_divided, shown
from edgevit.vit.foreign.asked import EXAMPLES, Asked, Resize
from edgevit.vit.foreign.labels import read_labels
from edgevit.vit.foreign.said import Given, Said, Seen


@dataclass(frozen=True)
class Settled:
    """`before`: rows of the file's table of positions that stand before those of the patches. `source`: who said what."""

    config: ViTConfig
    before: int
    preprocess: Preprocess
    labels: tuple[str, ...]
    source: str


def settled(given: Given, seen: Seen, said: Said, asked: Asked, kind: str) -> Settled:
    """Raises BadInput that names every option that is missing, and DamagedFile where config and tensors disagree."""
    _require_agreement(given, seen, said)
    heads = _heads(given, seen, said, asked)
    _require_positions_to_say(given, seen, asked)
    sizes = _image_size(given, seen, said, asked)
    labels = _labels(given, seen, said, asked)
    pixels = {name: getattr(asked, name) or getattr(said, name) for name in ("mean", "std", "resize", "interpolation")}
    positions = "1d" if seen.table is not None else asked.positions
    _require_all(given, {**pixels, "labels": labels, "image size": sizes, "heads": heads, "positions": positions})
    assert heads is not None and sizes and positions and labels is not None
    shape = _config(given, seen, said, heads, sizes, positions)
    config_too = " with the config.json beside it" if given.beside else ""
    left_out = [f"left out {', '.join(given.left_out)}"] if given.left_out else []
    source = "; ".join(
        [f"{kind} weights of {given.origin}{config_too}", *_told(said, asked), *_whose_heads(heads, seen, said, asked), *left_out]
    )
    before = 0 if seen.table is None else seen.table - shape.patches
    return Settled(shape, before, _preprocess(given, said, asked, sizes, **pixels), labels, source)


def _require_agreement(given: Given, seen: Seen, said: Said) -> None:
    for fact in said.facts:
        found = getattr(seen, fact.name)
        if fact.value != found:
            words = f"{fact.words} is {fact.value}, but the weights have {found}"
            raise DamagedFile(f"{given.origin}: {words}", "config and weights are not of the same model")


def _require_all(given: Given, values: dict[str, object]) -> None:
    lacking = [name for name, value in values.items() if value is None]
    if lacking:
        options = ", ".join(EXAMPLES[name] for name in lacking)
        raise BadInput(f"{given.origin} does not say its {', '.join(lacking)}", f"say it; for example {options}")


def _heads(given: Given, seen: Seen, said: Said, asked: Asked) -> int | None:
    """That of the user, the tensors or the config; else that of the published encoder of this shape, which others may share."""
    if seen.heads and asked.heads not in (None, seen.heads):
        raise BadInput(f"--heads is {asked.heads}, but the weights of {given.origin} have {seen.heads}", "leave out --heads")
    model = _model(asked.model, seen, asked).heads if asked.model else None
    name = _published(seen)
    published = ENCODERS[name].heads if name else None
    return next((heads for heads in (asked.heads, model, seen.heads, said.heads, published) if heads is not None), None)


def _whose_heads(heads: int, seen: Seen, said: Said, asked: Asked) -> list[str]:
    """What is recorded of heads that neither the user, nor the tensors, nor the config gave."""
    if asked.heads or asked.model or seen.heads or (said.heads is not None and not said.heads_by):
        return []
    return [f"{heads} heads, as {said.heads_by or f'the published {_published(seen)} has'}"]


def _published(seen: Seen) -> str | None:
    shape = (seen.width, seen.depth, seen.mlp)
    return next((name for name in PUBLISHED if (e := ENCODERS[name]) and (e.width, e.depth, e.mlp) == shape), None)


def _model(model: str, seen: Seen, asked: Asked) -> Encoder:
    """The encoder that the weights are said to be. Raises BadInput where they are of another shape."""
    encoder, patch, stem = parts(model)
    layers, root = (stem.layers, stem.width) if stem else ((), 0)
    for name, value, found in (
        ("ResNet units", layers, seen.layers),
        ("ResNet root channels", root, seen.stem.width if seen.stem else 0),
        ("patch", patch, seen.patch),
        ("width", encoder.width, seen.width),
        ("depth", encoder.depth, seen.depth),
        ("mlp", encoder.mlp, seen.mlp),
        ("heads", asked.heads or encoder.heads, seen.heads or asked.heads or encoder.heads),
    ):
        if value != found:
            raise BadInput(f"--model {model} has {name} {_counts(value)}, but the weights have {_counts(found)}")
    return encoder


def _counts(value: int | tuple[int, ...]) -> str:
    return str(value) if isinstance(value, int) else ",".join(map(str, value)) or "none"


def _require_positions_to_say(given: Given, seen: Seen, asked: Asked) -> None:
    if asked.positions and seen.table is not None:
        hint = "leave out --positions: it is for a file that holds none"
        raise BadInput(f"{given.origin} holds position embeddings, so that --positions {asked.positions} says nothing", hint)


def _image_size(given: Given, seen: Seen, said: Said, asked: Asked) -> Size | None:
    """That of the option, else of the config, else the square that the table of positions has the rows for."""
    told = asked.image_size or said.image_size
    if told is None:
        return _square(seen)
    require_divided(given.origin, told, seen.patch)
    patches = (told[0] // seen.patch) * (told[1] // seen.patch)
    if seen.table is not None and seen.table - patches not in seen.before:
        words = "--image-size" if asked.image_size else "the config's image size"
        has = f"{words} {shown(told)} at patch {seen.patch} has {patches} patches"
        hint = "import it at its own size; edgevit train --from --image-size carries it to another"
        raise BadInput(f"{given.origin}: {has}, but its position embeddings have {seen.table} rows", hint)
    return told


def _square(seen: Seen) -> Size | None:
    if seen.table is None:
        return None
    sides = {math.isqrt(seen.table - n) for n in seen.before if math.isqrt(max(0, seen.table - n)) ** 2 == seen.table - n > 0}
    return None if len(sides) != 1 else (min(sides) * seen.patch, min(sides) * seen.patch)


def _labels(given: Given, seen: Seen, said: Said, asked: Asked) -> tuple[str, ...] | None:
    if seen.classes == 0:
        if asked.labels:
            raise BadInput(f"{given.origin} has no head, so that --labels names nothing: {asked.labels}")
        return ()
    found = read_labels(asked.labels) if asked.labels else said.labels
    if found is not None and len(found) != seen.classes:
        where = str(asked.labels) if asked.labels else "its config"
        raise BadInput(f"{where} names {len(found)} classes, but the head of {given.origin} has {seen.classes}")
    return found


def _config(given: Given, seen: Seen, said: Said, heads: int, size: Size, positions: str) -> ViTConfig:
    require_divided(given.origin, size, seen.patch)
    if heads < 1 or seen.width % heads:
        hint = "--heads says another number"
        raise BadInput(f"{given.origin}: {heads} heads do not divide width {seen.width}", hint)
    if not 0 <= said.norm_eps < 0.1:
        raise DamagedFile(f"{given.origin}: its LayerNorms would add {said.norm_eps} to the variance")
    if seen.stem and not 0 <= seen.stem.norm_eps < 0.1:
        raise DamagedFile(f"{given.origin}: its GroupNorms would add {seen.stem.norm_eps} to the variance")
    try:
        shape = ViTConfig(
            "", size, seen.patch, seen.width, seen.depth, heads, seen.mlp, seen.classes, seen.pool, positions, seen.registers,
            said.gelu, seen.representation, seen.stem, said.norm_eps,
        )  # fmt: skip
    except ValueError as error:
        raise BadInput(f"{given.origin}: {error}") from error
    return dataclasses.replace(shape, variant=named(shape))


def _preprocess(given: Given, said: Said, asked: Asked, size: Size, **pixels: object) -> Preprocess:
    """What is cut out is what the model takes; a config that cuts out something else contradicts it."""
    if asked.resize is None and said.crop not in (None, size):
        assert said.crop
        raise BadInput(f"{given.origin}: its preprocessing gives {shown(said.crop)} pixels, but its weights take {shown(size)}")
    resize = pixels.pop("resize")
    assert isinstance(resize, Resize)
    try:
        return Preprocess(resize.size, size, aspect=resize.aspect, **pixels)  # type: ignore[arg-type]
    except ValueError as error:
        raise BadInput(f"{given.origin}: {error}", "--resize is at least the image size; --std is positive") from error


def _told(said: Said, asked: Asked) -> Iterator[str]:
    """What the options said, and what the file had said of the same."""
    for name in ("mean", "std", "resize", "interpolation", "labels", "image_size", "model", "heads", "positions"):
        value, theirs = getattr(asked, name), getattr(said, name, None)
        if name == "model" and said.heads and not asked.heads:
            theirs = f"{said.heads} heads"
        if value is not None:
            over = (
                f", where the file says {_words(theirs)}" if theirs is not None and name != "labels" and theirs != value else ""
            )
            also = ", where the file has its own" if name == "labels" and theirs is not None else ""
            yield f"--{name.replace('_', '-')} {_words(value)}{over}{also}"
    if asked.headless:
        yield "--headless"


def _words(value: object) -> str:
    if isinstance(value, Resize):
        return shown(value.size) if value.aspect == "keep" else "x".join(map(str, value.size))
    if isinstance(value, tuple):
        return ",".join(f"{v:g}" for v in value) if isinstance(value[0], float) else shown(value)
    return str(value)

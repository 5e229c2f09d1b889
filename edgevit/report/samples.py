"""A few held-out images: the truth, and who answered what, so that a disagreement is seen at once."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from edgevit.report import words
from edgevit.types import Sample

PICTURE = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")
"""A picture that carries itself. An SVG is refused, as it can carry more; so is an address, as it would be fetched."""


@dataclass(frozen=True)
class Answer:
    """One answer and the models that gave it."""

    label: str
    right: bool
    models: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """`picture` is empty where the sample holds none that can be shown; `answers` has the right one first."""

    number: int
    picture: str
    truth: str
    answers: tuple[Answer, ...]

    @property
    def tiny(self) -> bool:
        """Whether it is a PNG of few pixels, best enlarged without blur: its width stands in bytes 16 to 19."""
        kind, _, data = self.picture.partition(",")
        return kind == "data:image/png;base64" and int.from_bytes(base64.b64decode(data[:32])[16:20]) <= 48

    @property
    def disagree(self) -> bool:
        return len(self.answers) > 1


def build(found: tuple[Sample, ...]) -> tuple[Shown, ...]:
    """The samples numbered as they came, those with a disagreement first."""
    shown = [_shown(number, sample) for number, sample in enumerate(found, 1)]
    return tuple(sorted(shown, key=lambda sample: not sample.disagree))


def _shown(number: int, sample: Sample) -> Shown:
    picture = sample.picture if PICTURE.fullmatch(sample.picture) else ""
    return Shown(number, picture, words.plain(sample.truth), _answers(sample))


def _answers(sample: Sample) -> tuple[Answer, ...]:
    models: dict[str, list[str]] = {}
    for model, label in sample.answers.items():
        models.setdefault(label, []).append(words.plain(model))
    answers = [Answer(words.plain(label), label == sample.truth, tuple(names)) for label, names in models.items()]
    return tuple(sorted(answers, key=lambda answer: not answer.right))

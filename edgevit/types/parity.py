"""One image on its way to an answer, stage by stage, by training, by the artifact's runner, and by the generated code."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.types.model import Size


@dataclass(frozen=True)
class ParityStage:
    """How far two ways are apart at one stage, and how far they may be.

    `decoded` and `resized`: training and generated code, in levels of 255, over all pixels; `tensor`: the same, in what goes in.
    `runner`: relative error of what the artifact gives by edgevit's own runner from what the model gives in torch; `generated`:
    that of what it gives by the generated code from the runner's. None where one of the two is not known; `words` say why.
    """

    name: str
    difference: float | None
    allowed: float
    holds: bool
    words: str = ""


@dataclass(frozen=True)
class ImageParity:
    """`size` (height, width) as decoded and upright; `refused`: why all refuse it. Answers are labels, None where unknown."""

    image: str
    size: Size | None = None
    refused: str = ""
    stages: tuple[ParityStage, ...] = ()
    training: str | None = None
    runner: str | None = None
    generated: str | None = None

    @property
    def holds(self) -> bool:
        return all(stage.holds for stage in self.stages)


@dataclass(frozen=True)
class Compared:
    """The images, and how many get another answer from the artifact than in torch, of so many that may."""

    images: tuple[ImageParity, ...]
    other_answers: int
    allowed_answers: int


@dataclass(frozen=True)
class Parity:
    """`changed`: files of code that the artifact holds and that are not what its record gives; `reference`: who is training."""

    artifact: str
    reference: str
    changed: tuple[str, ...]
    compared: Compared

    @property
    def holds(self) -> bool:
        alike = self.compared.other_answers <= self.compared.allowed_answers
        return alike and not self.changed and all(image.holds for image in self.compared.images)

"""A parity as a table and in lines: how far the three ways are apart at each stage."""

from __future__ import annotations

from pathlib import Path

from edgevit.types import ImageParity, Parity, ParityStage

STAGES = ("decoded", "resized", "tensor", "runner", "generated")
COLUMNS = ("image", "size", *STAGES, "answer")


def rows(found: Parity) -> list[list[str]]:
    """Each image: levels of 255 up to the resized pixels, then relative errors, and what the artifact answers."""
    return [_row(image) for image in found.compared.images]


def _row(image: ImageParity) -> list[str]:
    name = Path(image.image).name
    if image.refused:
        return [name, "none", *["refused"] * len(STAGES), "none"]
    known = {stage.name: "none" if stage.difference is None else f"{stage.difference:.2g}" for stage in image.stages}
    size = "none" if image.size is None else f"{image.size[1]}x{image.size[0]}"
    answers = dict.fromkeys(answer for answer in (image.training, image.runner, image.generated) if answer is not None)
    return [name, size, *(known.get(stage, "none") for stage in STAGES), " / ".join(answers) or "none"]


def notes(found: Parity) -> list[str]:
    """What was refused, what broke and what nobody could tell, the largest difference at each stage, and the count of all."""
    images = found.compared.images
    stages = [(image, stage) for image in images for stage in image.stages]
    lines = [f"refused by all: {image.refused}" for image in images if image.refused]
    lines += [f"{Path(image.image).name}: {stage.name}: {_broken(stage)}" for image, stage in stages if not stage.holds]
    lines += sorted({f"{stage.name}: not compared: {stage.words}" for _, stage in stages if stage.holds and stage.words})
    lines += [
        f"{name} is not what this edgevit writes for the record: changed, or of another version; it was not run"
        for name in found.changed
    ]
    for name in STAGES:
        known = [(stage.difference, stage.allowed) for _, stage in stages if stage.name == name and stage.difference is not None]
        if known:
            lines.append(f"{name}: at most {max(known)[0]:.2g} apart, allowed {known[0][1]:g}")
    refused = sum(bool(image.refused) for image in images)
    agreeing = sum(image.holds for image in images) - refused
    others = f"{found.compared.other_answers} other answers than in torch, allowed {found.compared.allowed_answers}"
    return [*lines, f"{len(images)} images: {agreeing} agree, {refused} are refused by all; {others}"]


def _broken(stage: ParityStage) -> str:
    return stage.words or f"{stage.difference:.2g} apart, allowed {stage.allowed:g}"

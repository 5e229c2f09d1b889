"""Models stage by stage, as tables and in lines: a parity of three ways, and where an artifact parts from its twin."""

from __future__ import annotations

from pathlib import Path

from edgevit.types import Bisected, ImageParity, Parity, ParityStage

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


def bisected_names(found: Bisected) -> list[str]:
    """What each side is called: two of one target and recipe by their folders."""
    names = [side.name for side in found.sides]
    return names if len(set(names)) == len(names) else [side.artifact for side in found.sides]


def bisected_columns(found: Bisected) -> tuple[str, ...]:
    if not found.apart:
        return "stage", "adds", "in all"
    return "stage", *(f"{name}: {what}" for name in bisected_names(found) for what in ("adds", "in all")), "apart"


def bisected_rows(found: Bisected) -> list[list[str]]:
    """Each stage with what it adds to the relative error and what it is in all, of each side, and how far both are apart."""
    rows = []
    for number, stage in enumerate(found.sides[0].stages):
        here = [side.stages[number] for side in found.sides]
        row = [stage.name, *(_error(error) for one in here for error in (one.own, one.whole))]
        rows.append(row + [_error(error) for error in found.apart[number : number + 1]])
    return rows


def _error(error: float | None) -> str:
    return "not shown" if error is None else f"{error:.1e}"


def bisected_notes(found: Bisected) -> list[str]:
    """What was compared with what, and what a stage may add."""
    notes = []
    for name, side in zip(bisected_names(found), found.sides, strict=True):
        limits = f"at most {side.own_tolerance:.1e} added by a stage alone, from the file's own tensor before it"
        said = (
            f"{side.words}; beside the checkpoint's model as it was converted, on {side.images} golden images",
            f"{limits}, and {side.tolerance:g} in all at the logits",
            *side.notes,
        )
        notes += [f"{name}: {words}" for words in said]
    if found.apart:
        notes.append(f"apart: of both files' tokens, each less its mean, which no norm sees; at most {found.apart_tolerance:g}")
    return notes


def parted_lines(found: Bisected) -> list[str]:
    """Where they part, first of all."""
    lines = []
    for name, side in zip(bisected_names(found), found.sides, strict=True):
        lines.append(f"{name} parts from its twin at {side.parts}" if side.parts else f"{name} agrees with its twin everywhere")
        if side.operator:
            one, shape = side.operator, "x".join(map(str, side.operator.shape))
            lines.append(f"{name}: first operator that differs: {one.kind} {one.name} ({shape}), off by {one.error:.1e}")
    if found.apart:
        lines.append(f"they part at {found.parts}" if found.parts else "they agree everywhere")
    return lines

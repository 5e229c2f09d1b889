"""Whether a file says of itself what its record says of it."""

from __future__ import annotations

from collections.abc import Iterator

from edgevit.types import Artifact, Described, Preprocess


def differs(described: Described, artifact: Artifact) -> str:
    """What the file says otherwise than the record, in words; empty where they agree, or where it says nothing."""
    return "; ".join(_differences(described, artifact))


def _differences(described: Described, artifact: Artifact) -> Iterator[str]:
    if described.labels is not None and described.labels != artifact.labels:
        yield f"its labels are {_labels(described.labels, artifact.labels)}"
    if described.preprocess and described.preprocess != artifact.preprocess:
        yield f"its preprocess has another {', '.join(_others(described.preprocess, artifact.preprocess))}"
    if described.input and described.input is not artifact.input:
        yield f"it takes {described.input.value}, and not {artifact.input.value}"
    for name, version in described.versions.items():
        if (recorded := artifact.versions.get(name, version)) != version:
            yield f"it was made by {name} {version}, and not {recorded}"


def _labels(own: tuple[str, ...], recorded: tuple[str, ...]) -> str:
    if len(own) != len(recorded):
        return f"{len(own)}, and not {len(recorded)}"
    number = next(i for i, pair in enumerate(zip(own, recorded, strict=True)) if pair[0] != pair[1])
    return f"others: class {number} is {own[number][:40]!r}, and not {recorded[number][:40]!r}"


def _others(own: Preprocess, recorded: Preprocess | None) -> list[str]:
    return [name for name, value in vars(own).items() if recorded is None or value != getattr(recorded, name)]

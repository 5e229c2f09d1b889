"""What is different between two runs of a road."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    """To the last digit."""
    NOISE = "noise"
    """Different, and no more than the measurement is from one time to the next."""
    APART = "not comparable"
    """Of other devices, rules or images."""
    UNMEASURED = "unmeasured"
    """A figure that the earlier run has and the later one lacks."""


@dataclass(frozen=True)
class Change:
    """One figure in the earlier run and in the later one, and how it was told whether that is more than noise."""

    artifact: str
    device: str
    unit: str
    figure: str
    before: float | None
    after: float | None
    verdict: Verdict
    how: str = ""

    @property
    def worse(self) -> bool:
        return self.verdict in (Verdict.WORSE, Verdict.UNMEASURED)


@dataclass(frozen=True)
class Replaced:
    """A version, a machine, a device's fact or a setting that is another one."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Diff:
    """`added` and `removed` name artifacts, and artifacts on devices."""

    before: str
    after: str
    changes: tuple[Change, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    replaced: tuple[Replaced, ...] = ()

    @property
    def worse(self) -> bool:
        return any(change.worse for change in self.changes)

"""Each figure of an artifact in two runs, by the test that it needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from edgevit import ranking
from edgevit.checks import noise
from edgevit.checks.noise import Told
from edgevit.pipeline import limits
from edgevit.types import Artifact, Change, CheckResult, Latency, Launch, Outcome, Unit, Verdict

HIGHER_IS_BETTER = ("top1", "agreement")
Place = tuple[str, str, str]
Pair = tuple[Artifact, Artifact]
Answers = Artifact | CheckResult


def of_files(before: Artifact, after: Artifact) -> Iterator[Change]:
    """What is true of an artifact wherever it runs: whether it came out, its size, what is outside the delegate, its answers."""
    place = (after.name, "", "")
    good = [one.outcome in (Outcome.PASS, Outcome.OVER_BUDGET) for one in (before, after)]
    if good[0] != good[1]:
        verdict = Verdict.BETTER if good[1] else Verdict.WORSE
        words = f"{before.outcome.value}, then {after.outcome.value}"
        yield Change(*place, "outcome", float(good[0]), float(good[1]), verdict, words)
    for name in ("size_mb", "outside"):
        yield from _change(place, name, limits.figure(before, name), limits.figure(after, name), Told(True, "exact"))
    yield from _answers(place, (before, after), before, after)


def _answers(place: Place, both: Pair, before: Answers, after: Answers) -> Iterator[Change]:
    """Top-1 and the share of the reference's answers. Of other images their shares are told apart; that is all there is."""
    same = _same_images(both, before, after)
    taught = same and both[0].checkpoint_sha256 == both[1].checkpoint_sha256 and both[0].origin_sha256 == both[1].origin_sha256
    if before.paired and after.paired and taught:
        told = noise.parted((before.paired.lost, before.paired.won), (after.paired.lost, after.paired.won))
    else:
        told = _counted(before.top1, before.images, after.top1, after.images, same)
    yield from _change(place, "top1", before.top1, after.top1, told)
    if taught and before.agreement is not None and after.agreement is not None:
        others = [round((1 - one.agreement) * one.images) for one in (before, after) if one.agreement is not None]
        told = noise.parted((others[0], 0), (others[1], 0))
    else:
        told = _counted(before.agreement, before.images, after.agreement, after.images, same)
    yield from _change(place, "agreement", before.agreement, after.agreement, told)


def _same_images(both: Pair, before: Answers, after: Answers) -> bool:
    known = both[0].data_sha256 and both[0].data_sha256 == both[1].data_sha256
    return bool(known) and (before.split, before.images) == (after.split, after.images)


def _counted(before: float | None, images: int, after: float | None, images_after: int, same: bool) -> Told:
    if before is None or after is None:
        return Told(None, "")
    told = noise.counted((round(before * images), images), (round(after * images_after), images_after))
    return Told(told.changed, f"{told.how}, of {'counts' if same else 'other images'} alone")


def on_device(key: tuple[str, str, Unit], both: Pair, measured: tuple[Latency, Latency], apart: str) -> Iterator[Change]:
    """Latency, memory and energy, unless `apart` says why they cannot be compared; and the answers that were given there."""
    before, after = measured
    place = (key[0], key[1], key[2].value)
    told = {
        "p50_ms": _told(ranking.lower(before, after)),
        "p90_ms": _p90(before, after),
        "peak_mb": noise.spread(_peaks(before), _peaks(after)),
        "energy_mj": noise.spread(_joules(before), _joules(after)),
    }
    for name, how in told.items():
        old, new = limits.value(before, both[0], name), limits.value(after, both[1], name)
        yield from _change(place, name, old, new, how, apart, after.reason)
    if before.answers and after.answers:
        yield from _answers(place, both, before.answers, after.answers)


def _told(lower: bool | None) -> Told:
    if lower is None:
        return Told(None, "intervals from launch to launch meet, or there is none")
    return Told(True, "intervals from launch to launch are apart")


def _p90(before: Latency, after: Latency) -> Told:
    """By the intervals of the launches' own 90th percentiles."""
    one, other = (ranking.interval(list(_nineties(x))) for x in (before, after))
    if one is None or other is None:
        return Told(None, "too few launches for an interval")
    return _told(None if one[0] <= other[1] and other[0] <= one[1] else True)


def _nineties(latency: Latency) -> Iterator[float]:
    yield from (statistics.quantiles(x.times_ms, n=10)[8] for x in latency.launches if len(x.times_ms) > 1)


def _peaks(latency: Latency) -> list[float]:
    return [x.peak_bytes / 1e6 for x in latency.launches if x.peak_bytes is not None]


def _joules(latency: Latency) -> list[float]:
    return [1000 * x.joules / x.runs for x in latency.launches if _tells(x) and x.joules is not None]


def _tells(launch: Launch) -> bool:
    return launch.joules is not None and launch.runs > 0


def _change(
    place: Place,
    name: str,
    before: float | None,
    after: float | None,
    told: Told,
    apart: str = "",
    reason: str = "",
) -> Iterator[Change]:
    """Nothing where the earlier run lacks the figure: that is no change to judge."""
    if before is None:
        return
    if after is None:
        yield Change(*place, name, before, None, Verdict.UNMEASURED, reason or "the later run does not tell it")
    elif apart:
        yield Change(*place, name, before, after, Verdict.APART, apart)
    elif math.isclose(before, after, rel_tol=1e-12):
        yield Change(*place, name, before, after, Verdict.SAME, "equal")
    elif not told.changed:
        yield Change(*place, name, before, after, Verdict.NOISE, told.how)
    else:
        better = (after > before) == (name in HIGHER_IS_BETTER)
        yield Change(*place, name, before, after, Verdict.BETTER if better else Verdict.WORSE, told.how)

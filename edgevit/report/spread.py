"""How single runs are spread: every timed run as a stroke, launch beneath launch, so that both kinds of noise are seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgevit.ranking import ranked
from edgevit.report import charts, places, svg, words
from edgevit.report.charts import Chart
from edgevit.report.places import Place
from edgevit.types import Latency, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STROKES = 60
"""Runs of one launch that are drawn; of more, every so manieth by rank, the fastest and the slowest among them."""
TOP, BOTTOM = 0.42, 0.96
"""Where in its lane the launches are."""
WIDE = 4.0
"""From so many times the least to the most, the axis is logarithmic."""


def draw(report: Report) -> tuple[Chart, ...]:
    """One chart for each place whose single runs are told."""
    return tuple(chart for place in places.places(report) if (chart := _chart(place)))


def _chart(place: Place) -> Chart | None:
    told = [one.latency for one in ranked(place.latencies) if times(one.latency)]
    if not told:
        return None
    shown = told[: charts.MOST]
    names = [places.named(one, place.latencies) for one in shown]
    figure, axes = charts.lanes("one run, ms", names)
    for row, one in enumerate(shown):
        _lane(axes, row, one, svg.colour(row))
    _scale(axes, shown)
    title = f"Single runs: {place.name}"
    return Chart(title, svg.themed(figure, title), _alt(title, shown, names), _caption(told, place))


def times(one: Latency) -> tuple[float, ...]:
    return tuple(time for launch in one.launches for time in launch.times_ms)


def _lane(axes: Axes, row: int, one: Latency, colour: str) -> None:
    launches = [launch.times_ms for launch in one.launches if launch.times_ms]
    step = (BOTTOM - TOP) / len(launches)
    for number, single in enumerate(launches):
        top = row + TOP + number * step
        _strokes(axes, drawn(single), top, top + 0.7 * step, colour)
    centre = row + (TOP + BOTTOM) / 2
    if one.low_ms is not None and one.high_ms is not None:
        axes.plot([one.low_ms, one.high_ms], [row + TOP - 0.04] * 2, color=svg.INK, linewidth=2)
    axes.plot([one.p50_ms or 0.0] * 2, [row + TOP - 0.08, row + BOTTOM], color=svg.INK, linewidth=1.2)
    if one.p90_ms is not None:
        axes.plot([one.p90_ms], [centre], marker="|", markersize=22, markeredgewidth=1, color=svg.MUTED, linestyle="")


def _strokes(axes: Axes, single: Sequence[float], top: float, bottom: float, colour: str) -> None:
    """All in one path, with gaps: a mark of its own for each would make the page several times as large."""
    x = [value for time in single for value in (time, time, math.nan)]
    axes.plot(x, [top, bottom, math.nan] * len(single), color=colour, linewidth=0.8)


def drawn(single: Sequence[float]) -> tuple[float, ...]:
    ordered, last = sorted(single), len(single) - 1
    if len(ordered) <= STROKES:
        return tuple(ordered)
    return tuple(ordered[round(i * last / (STROKES - 1))] for i in range(STROKES))


def _scale(axes: Axes, shown: Sequence[Latency]) -> None:
    """To the largest p99: a few runs that something interrupted would else squeeze all the others."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    least, most = min(min(times(one)) for one in shown), _most(shown)
    margin = 0.04 * (most - least) or 0.1 * most
    if least > 0 and most > WIDE * least:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", length=0)
        axes.set_xlim(least / 1.1, 1.1 * most)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlim(least - margin, most + margin)


def _most(shown: Sequence[Latency]) -> float:
    return max(one.p99_ms if one.p99_ms is not None else max(times(one)) for one in shown)


def _alt(title: str, shown: Sequence[Latency], names: Sequence[str]) -> str:
    said = (f"{name} {_figures(one)}" for name, one in zip(names, shown, strict=True))
    return f"{title}, launch by launch. {'; '.join(said)}"


def _figures(one: Latency) -> str:
    every, launches = times(one), sum(bool(launch.times_ms) for launch in one.launches)
    figures = f"p50 {words.milliseconds((one.p50_ms,))}, p90 {words.milliseconds((one.p90_ms,))}"
    return f"{figures}, {min(every):.3g} to {max(every):.3g} ms over {len(every)} runs in {launches} launches"


def _caption(told: Sequence[Latency], place: Place) -> str:
    shown, edge = told[: charts.MOST], _most(told[: charts.MOST])
    beyond = sum(time > edge for one in shown for time in times(one))
    said = [
        "Each stroke is a run, each row of strokes a launch. The long line is the median, with its interval on top, the grey p90."
    ]
    said += [f"Right of the edge, over {edge:.3g} ms, the largest p99: {words.counted(beyond, 'run')}."] if beyond else []
    most = max(len(launch.times_ms) for one in shown for launch in one.launches)
    said += [f"Of launches with more than {STROKES} runs {STROKES} are drawn, evenly by rank."] if most > STROKES else []
    said += [f"The slowest {len(told) - charts.MOST} are not drawn."] if len(told) > charts.MOST else []
    silent = [places.named(x, place.latencies) for x in place.latencies if x.p50_ms is not None and not times(x)]
    said += [f"Not drawn, since no single runs are told: {words.listed(silent)}."] if silent else []
    return " ".join(said)

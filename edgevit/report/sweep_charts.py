"""What a search found, drawn: top-1 trial by trial with the best so far, and against each setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgevit.report import charts, svg, words
from edgevit.report.charts import Chart
from edgevit.types import Ending, Searched, Sweep, Trial, option_name, value_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOP1 = "top-1, %"
LONGEST = 12
"""Characters of a value below an axis."""
MOST_VALUES = 8
"""Values of a list that stand below an axis with their names, of a phone's width."""
DONE, PRUNED, BEST = 0, 5, 1
"""Numbers of colours: of trials that came to their end, those that were pruned, and the best."""


def draw(found: Sweep) -> tuple[Chart, ...]:
    """One chart of all trials in time, and one for each setting; none where no trial has a figure."""
    shown = [trial for trial in found.trials if _height(trial) is not None]
    if not shown:
        return ()
    return _in_time(found, shown), *(_setting(found, one, shown) for one in found.space)


def _height(trial: Trial) -> float | None:
    """Percent: of the whole training, or after the last epoch of one that was pruned."""
    if trial.top1 is not None:
        return 100 * trial.top1
    return 100 * trial.epochs[-1] if trial.ending is Ending.PRUNED and trial.epochs else None


def _in_time(found: Sweep, shown: Sequence[Trial]) -> Chart:
    figure, axes = charts.empty("trial", TOP1)
    best = [(trial.number, trial.top1) for trial in shown if trial.top1 is not None]
    line: list[tuple[float, float]] = []
    for number, top1 in best:
        line.append((number, max(100 * top1, line[-1][1] if line else 0.0)))
    if line:
        axes.step(*zip(*line, strict=True), where="post", color=svg.colour(BEST), linewidth=1.8, label="best so far")
    _points(axes, [(trial.number, _height(trial) or 0.0) for trial in shown], shown, found.best)
    _legend(axes, shown)
    absent = len(found.trials) - len(shown)
    more = f" {words.counted(absent, 'trial')} without a figure." if absent else ""
    alt = "; ".join(f"trial {trial.number}: {_height(trial):.4g} %" for trial in shown)
    title = "Top-1 trial by trial"
    return Chart(
        title,
        svg.themed(figure, title),
        f"{title}: {alt}",
        f"In the order in which they were begun; of pruned ones, after their last epoch.{more}",
    )


def _setting(found: Sweep, one: Searched, shown: Sequence[Trial]) -> Chart:
    name = option_name(one.name)
    figure, axes = charts.empty(name, TOP1)
    having = [trial for trial in shown if one.name in trial.settings]
    if one.ranged:
        places = [float(trial.settings[one.name]) for trial in having]
        _along(axes, one)
    else:
        places = [float(one.values.index(trial.settings[one.name])) for trial in having]
        _named(axes, one)
    _points(axes, [(x, _height(trial) or 0.0) for x, trial in zip(places, having, strict=True)], having, found.best)
    alt = "; ".join(f"{value_in_words(trial.settings[one.name])}: {_height(trial):.4g} %" for trial in having)
    title = f"Top-1 against {name}"
    return Chart(
        title,
        svg.themed(figure, title),
        f"{title}: {alt}",
        f"{one.between[0].upper()}{one.between[1:]}; the other settings differ too.",
    )


def _along(axes: Axes, one: Searched) -> None:
    """A range, on a logarithmic axis where it is even in the logarithm; ticks are plain numbers, not powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    if one.log:
        decades = one.high / one.low
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(
            LogLocator(subs=(1.0,) if decades >= 1000 else (1.0, 3.0) if decades >= 30 else (1.0, 2.0, 5.0))
        )
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        edge = decades**0.04
        axes.set_xlim(one.low / edge, one.high * edge)
    else:
        edge = 0.04 * (one.high - one.low)
        axes.set_xlim(one.low - edge, one.high + edge)


def _named(axes: Axes, one: Searched) -> None:
    step = -(-len(one.values) // MOST_VALUES)
    places = list(range(0, len(one.values), step))
    axes.set_xticks(places, [_short(value_in_words(one.values[place])) for place in places])
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.set_xlim(-0.5, len(one.values) - 0.5)


def _short(text: str) -> str:
    plain = words.plain(text)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _points(axes: Axes, places: Sequence[tuple[float, float]], trials: Sequence[Trial], best: int | None) -> None:
    """Filled for trials that came to their end, hollow for those that were pruned, a ring around the best."""
    for (x, y), trial in zip(places, trials, strict=True):
        whole = trial.top1 is not None
        colour = svg.colour(DONE if whole else PRUNED)
        axes.plot([x], [y], "o", markersize=6, markeredgecolor=colour, markerfacecolor=colour if whole else "none")
        if trial.number == best:
            axes.plot([x], [y], "o", markersize=12, markeredgecolor=svg.colour(BEST), markerfacecolor="none", markeredgewidth=1.8)


def _legend(axes: Axes, shown: Sequence[Trial]) -> None:
    names = {True: ("trained to the end", DONE), False: ("pruned", PRUNED)}
    for whole in sorted({trial.top1 is not None for trial in shown}, reverse=True):
        label, number = names[whole]
        face = svg.colour(number) if whole else "none"
        axes.plot([], [], "o", markersize=6, markeredgecolor=svg.colour(number), markerfacecolor=face, label=label)
    # Above the axes: there is no point behind it.
    above = (-0.02, 1.0)
    size = charts.FONT - 1
    axes.legend(
        frameon=False, labelcolor=svg.INK, fontsize=size, loc="lower left", bbox_to_anchor=above, ncols=3, columnspacing=1.2
    )

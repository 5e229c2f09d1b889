"""A picture of what a cost model says, beside what was measured."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgevit.pictures import paper as papers
from edgevit.pictures.paper import Drawing, Paper
from edgevit.types import DevicePlan, Plan

NEAR = 0.1
"""The band that is drawn about the diagonal."""


def predicted(plan: Plan) -> Drawing:
    words = (
        f"Each point is a model of random weights: what it took, and what was predicted for it. The band is {NEAR:.0%} to either "
        "side. Points of the fit are predicted by a model of all others, held-out ones by one that has seen none of them."
    )
    return Drawing("plan", "Predicted latency", words, lambda paper: _draw(plan, paper))


def _draw(plan: Plan, paper: Paper) -> Figure:
    figure = papers.sheet(4.8 * len(plan.devices), 4.8)
    for axes, device in zip(figure.subplots(1, len(plan.devices), squeeze=False)[0], plan.devices, strict=True):
        _one(axes, device, paper)
    return figure


def _one(axes: Axes, device: DevicePlan, paper: Paper) -> None:
    times = [point.measured.p50_ms or 0.0 for point in device.points]
    ends = [0.7 * min(times), 1.4 * max(times)]
    axes.fill_between(ends, [end / (1 + NEAR) for end in ends], [end * (1 + NEAR) for end in ends], color=paper.line, alpha=0.6)
    for held_out, colour, label in ((False, paper.first, "of the fit"), (True, paper.second, "held out")):
        mine = [point for point in device.points if point.held_out == held_out and point.predicted_ms > 0]
        x, y = [point.measured.p50_ms or 0.0 for point in mine], [point.predicted_ms for point in mine]
        axes.scatter(x, y, s=16, color=colour, marker="D" if held_out else "o", label=f"{label} ({len(mine)})")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    axes.tick_params(which="minor", colors=paper.muted, length=0)
    papers.name(axes, paper, "measured, ms", "predicted, ms")
    axes.legend(frameon=False, labelcolor=paper.ink, fontsize=papers.FONT - 1)
    error = "" if device.held_out_error is None else f": median error {100 * device.held_out_error:.1f} % held out"
    papers.title(axes, paper, f"{papers.short(device.device.spec)}{error}")

"""A picture of what each layer costs in few bits."""

from __future__ import annotations

from matplotlib.figure import Figure

from edgevit.pictures import paper as papers
from edgevit.pictures.paper import Drawing, Paper
from edgevit.types import Analysis

LEAST = 1e-9
"""Of a divergence that is drawn: the axis is logarithmic."""


def damage(found: Analysis) -> Drawing:
    worst = max(found.layers, key=lambda layer: layer.kl)
    title = f"What each Linear costs in {found.low}, and in {found.high}"
    words = (
        f"Each Linear alone, all others in float, on {found.images:,} images: the mean Kullback-Leibler divergence of the "
        f"answers' probabilities. {worst.layer} costs most in {found.low}: {worst.kl:.2g} nats and {worst.flips} other answers. "
        "Layers that were raised in the mix have their names in bold."
    )
    return Drawing("damage", title, words, lambda paper: _draw(found, title, paper))


def _draw(found: Analysis, title: str, paper: Paper) -> Figure:
    figure = papers.sheet(7.2, 1.1 + 0.17 * len(found.layers))
    axes = figure.subplots()
    places = range(len(found.layers))
    low, high = ([max(getattr(layer, kl), LEAST) for layer in found.layers] for kl in ("kl", "high_kl"))
    axes.hlines(places, high, low, color=paper.line, linewidth=1.2, zorder=1)
    axes.scatter(low, places, s=18, color=paper.first, label=found.low, zorder=2)
    axes.scatter(high, places, s=18, color=paper.second, marker="D", label=found.high, zorder=2)
    axes.set_xscale("log")
    axes.set_ylim(len(found.layers) - 0.5, -0.5)
    papers.name(axes, paper, "Kullback-Leibler divergence, nats", "")
    names = [papers.short(layer.layer, 30) for layer in found.layers]
    axes.set_yticks(places, names, fontsize=papers.FONT - 2, parse_math=False)
    for layer, label in zip(found.layers, axes.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if layer.layer in found.raised else "normal")
    axes.legend(frameon=False, labelcolor=paper.ink, fontsize=papers.FONT - 1, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    figure.suptitle(title, color=paper.ink, fontsize=papers.FONT + 1, x=0.01, ha="left", parse_math=False)
    return figure

"""Pictures of what a model sees and where it looks, as the paper's figures 6 and 7 draw them."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from edgevit.pictures import paper as papers
from edgevit.pictures.paper import Drawing, Paper
from edgevit.types import Attended, Distances, Filters, Positions, Size

ACROSS = 7
"""Filters in a row."""
MOST = 14
"""Tiles down or across: more would be too small to see."""


def filters(found: Filters, patterns: np.ndarray) -> Drawing | None:
    """`patterns` (n, height, width, 3) of any scale, the strongest first. None where the filters are all alike."""
    if not len(patterns):
        return None
    shown = len(patterns)
    height, width = found.size
    title = f"Filters of the {found.layer}"
    words = (
        f"The {shown} strongest principal components of the {found.count} filters, {height} x {width} pixels each: together "
        f"{_percent(sum(found.shares))} of their variance, the first alone {_percent(sum(found.shares[:1]))}. Each is drawn "
        "around a middle grey; its sign has no meaning. A well-trained model has smooth ones, such as colours, edges and waves, "
        "as a basis for the fine structure of a patch; what looks like noise has learned little."
    )
    return Drawing("filters", title, words, lambda paper: _filters(found, patterns, title, paper))


def _filters(found: Filters, patterns: np.ndarray, title: str, paper: Paper) -> Figure:
    rows = -(-len(patterns) // ACROSS)
    figure = papers.sheet(0.9 * ACROSS, 1.08 * rows + 0.35)
    figure.suptitle(title, color=paper.ink, fontsize=papers.FONT + 1, x=0.01, ha="left")
    for number, axes in enumerate(figure.subplots(rows, ACROSS, squeeze=False).flat):
        papers.bare(axes, paper)
        if number < len(patterns):
            axes.imshow(_around_grey(patterns[number]), interpolation="nearest")
            axes.set_title(_percent(found.shares[number]), color=paper.muted, fontsize=papers.FONT - 2, pad=2)
    return figure


def _around_grey(pattern: np.ndarray) -> np.ndarray:
    return 0.5 + pattern / (2 * max(float(np.abs(pattern).max()), 1e-12))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


HEAT = 0.6
"""How much of a colour over an image is the map's."""

KINDS = {
    "1d": "one learned embedding for each patch",
    "2d": "a learned half for the row and one for the column",
    "sincos": "fixed sines and cosines of row and column",
    "relative": "a learned vector for every offset, in each layer",
}


def positions(found: Positions, tiles: np.ndarray, grid: Size) -> Drawing | None:
    """`tiles` (n, height, width): one for each patch of the `grid`, or with relative positions one for each layer.

    None where the model has no positions to draw.
    """
    if not found.figure:
        return None
    if found.figure == "norm":
        return _offsets(found, tiles)
    rows, columns = (_spread(n) for n in grid)
    chosen = tiles.reshape(*grid, *grid)[np.ix_(rows, columns)]
    all_of_them, drawn = (f"{down} x {across}" for down, across in (grid, (len(rows), len(columns))))
    few = "" if drawn == all_of_them else f" Of {all_of_them} tiles, {drawn} are drawn."
    words = (
        f"Each tile is one patch, at its place in the image: its position embedding beside those of all {all_of_them} patches "
        f"({KINDS[found.kind]}). A bright spot that moves from tile to tile says that near patches have like embeddings; a "
        f"bright cross, that the model knows rows and columns. {_near_and_far(found)}{few}"
    )
    title = "Similarity of position embeddings"
    return Drawing("positions", title, words, lambda paper: _mosaic(chosen, title, (-1, 1), "cosine similarity", paper))


def no_positions(found: Positions) -> str:
    return f"position embeddings: this model has none to draw (positions: {found.kind})"


def _spread(n: int) -> list[int]:
    """All of `n` places, or MOST of them, evenly."""
    return list(range(n)) if n <= MOST else np.linspace(0, n - 1, MOST).round().astype(int).tolist()


def _near_and_far(found: Positions) -> str:
    table = np.array(found.by_offset)
    rows, columns = table.shape[0] // 2, table.shape[1] // 2
    near = [
        float(table[rows + down, columns + across]) for down, across in ((0, 1), (1, 0)) if down <= rows and across <= columns
    ]
    corner = float(np.mean([table[0, 0], table[-1, -1], table[0, -1], table[-1, 0]]))
    beside = " and ".join(f"{value:.2f}" for value in near)
    return f"On average it is {beside} between neighbours across and down, and {corner:.2f} from corner to opposite corner."


def _mosaic(tiles: np.ndarray, title: str, limits: tuple[float, float], label: str, paper: Paper) -> Figure:
    """(rows, columns, height, width) as one image, with gaps between the tiles."""
    rows, columns, height, width = tiles.shape
    gap = max(1, min(height, width) // 7)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for row, column in np.ndindex(rows, columns):
        sheet[row * (height + gap) :, column * (width + gap) :][:height, :width] = tiles[row, column]
    wide = 5.4
    figure = papers.sheet(wide + 1, max(2.0, wide * sheet.shape[0] / sheet.shape[1] + 0.6))
    axes = figure.subplots()
    drawn = axes.imshow(sheet, cmap="viridis", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    papers.title(axes, paper, title)
    papers.name(axes, paper, "column of the patch", "row of the patch")
    axes.set_xticks([c * (width + gap) + (width - 1) / 2 for c in range(columns)], _numbered(columns))
    axes.set_yticks([r * (height + gap) + (height - 1) / 2 for r in range(rows)], _numbered(rows))
    axes.spines[:].set_visible(False)
    papers.scale(axes, paper, drawn, label)
    return figure


def _numbered(n: int) -> list[str]:
    return [str(number) for number in range(1, n + 1)]


def _offsets(found: Positions, tiles: np.ndarray) -> Drawing:
    layers, height, width = tiles.shape
    words = (
        f"One tile for each of the {layers} layers: the length of the vector of every offset ({KINDS['relative']}), from "
        f"{height // 2} patches up to {height // 2} down and {width // 2} left to {width // 2} right; the middle is the patch "
        "itself. "
        "Bright offsets sway the attention most; a tile of one colour says that the layer does not care where a patch is."
    )
    title = "Lengths of the relative position vectors"
    return Drawing("positions", title, words, lambda paper: _by_layer(tiles, title, paper))


def _by_layer(tiles: np.ndarray, title: str, paper: Paper) -> Figure:
    """One tile for each layer, all to one scale, its offsets along the axes."""
    layers, height, width = tiles.shape
    columns = min(4, layers)
    rows = -(-layers // columns)
    figure = papers.sheet(1.75 * columns + 1, 1.75 * rows * min(2.0, max(0.4, height / width)) + 0.8)
    figure.suptitle(title, color=paper.ink, fontsize=papers.FONT + 1, x=0.01, ha="left")
    reach = (-(width // 2) - 0.5, width // 2 + 0.5, height // 2 + 0.5, -(height // 2) - 0.5)
    all_axes = figure.subplots(rows, columns, squeeze=False)
    for number, axes in enumerate(all_axes.flat):
        papers.bare(axes, paper)
        if number < layers:
            axes.set_axis_on()
            drawn = axes.imshow(
                tiles[number], cmap="viridis", vmin=0, vmax=float(tiles.max()), extent=reach, interpolation="nearest"
            )
            papers.name(axes, paper, "", "")
            axes.set_title(f"layer {number + 1}", color=paper.muted, fontsize=papers.FONT - 1, pad=3)
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    bar = figure.colorbar(drawn, ax=all_axes, fraction=0.04, pad=0.02)
    papers.dress(bar, paper, "length of the vector")
    figure.supxlabel("patches to the right", color=paper.muted, fontsize=papers.FONT)
    figure.supylabel("patches down", color=paper.muted, fontsize=papers.FONT)
    return figure


def distance(found: Distances) -> Drawing | None:
    """None where nothing was measured."""
    if not found.pixels:
        return None
    title = "Mean attention distance"
    first, last = (float(np.mean(found.pixels[layer])) for layer in (0, -1))
    local = min(value for row in found.pixels for value in row)
    heads = "one head" if len(found.pixels[0]) == 1 else f"each of {len(found.pixels[0])} heads"
    words = (
        f"How far from itself a patch looks, in pixels: {heads} in each of {len(found.pixels)} layers is a dot, averaged over "
        f"{found.images} images ({found.source}). The first layer averages {first:.1f} pixels, the last {last:.1f}; the most "
        f"local head {local:.1f}. Attention spread evenly over the image would be at {found.even:.1f} (dashed). In large models "
        "the paper found heads that look near beside heads that look far in the lowest layers."
    )
    return Drawing("distance", title, words, lambda paper: _distance(found, title, paper))


def _distance(found: Distances, title: str, paper: Paper) -> Figure:
    figure = papers.sheet(5.6, 3.8)
    axes = figure.subplots()
    papers.title(axes, paper, title)
    papers.name(axes, paper, "layer, from the image upwards", "pixels")
    axes.grid(axis="y", color=paper.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    layers = range(1, len(found.pixels) + 1)
    axes.axhline(found.even, color=paper.muted, linewidth=1, linestyle=(0, (4, 3)), label="spread evenly")
    axes.plot(layers, [float(np.mean(row)) for row in found.pixels], color=paper.second, linewidth=1.6, label="mean of the layer")
    for head in range(len(found.pixels[0])):
        label = "a head" if head == 0 else None
        pixels = [row[head] for row in found.pixels]
        axes.scatter(layers, pixels, s=26, color=paper.first, edgecolors=paper.ground, linewidths=0.6, zorder=3, label=label)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    figure.legend(frameon=False, labelcolor=paper.ink, fontsize=papers.FONT - 1, loc="outside lower center", ncols=3)
    return figure


def attention(found: Attended, image: np.ndarray, name: str) -> Drawing:
    """`image` (H, W, 3) uint8, cropped as the model sees it."""
    answer = f"Answer: {_answers(found)}. " if found.labels else "The model has no head yet, and so no answer. "
    rollout = np.array(found.rollout)
    row, column = np.unravel_index(rollout.argmax(), rollout.shape)
    place = f"row {row + 1}, column {column + 1} of {rollout.shape[0]} x {rollout.shape[1]}"
    elsewhere = (
        f"; {_percent(found.elsewhere)} of it stayed with tokens that have no place in the image" if found.elsewhere else ""
    )
    words = (
        f"{answer}On the right, where that was drawn from: attention rollout through all layers, with 1 for a patch that counts "
        f"as much as if all counted alike. Most counts the patch in {place}: {rollout.max() * rollout.size:.2f}{elsewhere}."
    )
    return Drawing(
        name, f"Attention: {papers.short(found.image, 60)}", words, lambda paper: _attention(found, image, paper), True
    )


def _answers(found: Attended, longest: int = 60) -> str:
    pairs = zip(found.labels, found.scores, strict=True)
    return ", ".join(f"{papers.short(label, longest)} {_percent(score)}" for label, score in pairs)


def _attention(found: Attended, image: np.ndarray, paper: Paper) -> Figure:
    """The image, and beside it the rollout over its grey double: a colour map over colours could not be read."""
    height, width = image.shape[:2]
    rollout = np.array(found.rollout)
    figure = papers.sheet(6.6, min(9.0, 2.85 * height / width + 0.6))
    left, right = figure.subplots(1, 2)
    heat = ScalarMappable(Normalize(0, rollout.max() * rollout.size), "plasma")
    smooth = "nearest" if max(height, width) <= 64 else "antialiased"
    for axes, shown in ((left, image), (right, _warmed(image, rollout * rollout.size, heat))):
        papers.bare(axes, paper)
        axes.imshow(shown, interpolation=smooth)
    papers.title(left, paper, papers.short(found.image.rpartition("/")[2], 34))
    papers.title(right, paper, papers.short(_answers(_first(found), 24), 34) if found.labels else "no head yet")
    papers.scale(right, paper, heat, "times an even share")
    return figure


def _warmed(image: np.ndarray, relative: np.ndarray, heat: ScalarMappable) -> np.ndarray:
    """The grey `image` (H, W, 3) under the colours of the figures of its patches, smoothed between their middles: RGB of 0..1."""
    height, width = image.shape[:2]
    smooth = Image.fromarray(relative.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    grey = image @ np.array([0.299, 0.587, 0.114]) / 255
    return (1 - HEAT) * grey[..., None] + HEAT * heat.to_rgba(np.asarray(smooth))[..., :3]


def _first(found: Attended) -> Attended:
    """With its likeliest class alone."""
    return Attended(found.image, found.labels[:1], found.scores[:1], found.rollout, found.elsewhere)

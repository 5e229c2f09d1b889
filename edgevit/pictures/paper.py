"""What every picture shares: the paper that it is drawn on, light or dark, and how it becomes a PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

DPI = 144
FONT = 9
LONGEST = 22
"""Characters of a label in a picture."""


@dataclass(frozen=True)
class Paper:
    """Colours of the ground, of what is written, and of two things that are told apart: the report's own."""

    ground: str
    ink: str
    muted: str
    line: str
    first: str
    second: str

    @property
    def depth(self) -> Colormap:
        """From the ground, for nothing, to the first colour and the ink: one hue, told apart by lightness alone."""
        return LinearSegmentedColormap.from_list("depth", [self.ground, self.first, self.ink])


LIGHT = Paper("#ffffff", "#16191d", "#59616b", "#d9dde2", "#1f5fbf", "#b4540a")
DARK = Paper("#111418", "#e8ebee", "#a2abb5", "#323941", "#7ab0ff", "#ffa45c")


@dataclass(frozen=True)
class Drawing:
    """A picture to be: a `name` for its file, a title, in words what one sees, and how it is drawn on some paper.

    One that holds a `photo` is large as a PNG, and so goes as a JPEG into a page.
    """

    name: str
    title: str
    words: str
    draw: Callable[[Paper], Figure]
    photo: bool = False

    def png(self, paper: Paper) -> bytes:
        """The same drawing and paper give the same bytes."""
        figure = self.draw(paper)
        FigureCanvasAgg(figure)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI, facecolor=paper.ground, metadata={"Software": None})
        return out.getvalue()

    def data_uri(self, paper: Paper) -> str:
        """The picture as a page carries it."""
        kind, content = ("jpeg", self._jpeg(paper)) if self.photo else ("png", self.png(paper))
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    def _jpeg(self, paper: Paper) -> bytes:
        out = io.BytesIO()
        with Image.open(io.BytesIO(self.png(paper)), formats=["PNG"]) as image:
            image.convert("RGB").save(out, "JPEG", quality=90, subsampling=0)
        return out.getvalue()


def sheet(width: float, height: float) -> Figure:
    """An empty figure in inches, without pyplot: pyplot keeps global state and may look for a display."""
    return Figure(figsize=(width, height), layout="constrained")


def title(axes: Axes, paper: Paper, text: str) -> None:
    axes.set_title(text, color=paper.ink, fontsize=FONT + 1, loc="left", parse_math=False)


def name(axes: Axes, paper: Paper, x: str, y: str) -> None:
    """Label both axes, in the paper's colours."""
    axes.set_facecolor(paper.ground)
    axes.set_xlabel(x, color=paper.muted, fontsize=FONT)
    axes.set_ylabel(y, color=paper.muted, fontsize=FONT)
    axes.tick_params(colors=paper.muted, length=0, labelsize=FONT - 1)
    for spine in axes.spines.values():
        spine.set_color(paper.line)


def bare(axes: Axes, paper: Paper) -> None:
    """No ticks and no frame."""
    axes.set_axis_off()
    axes.set_facecolor(paper.ground)


def scale(axes: Axes, paper: Paper, drawn: ScalarMappable, label: str) -> None:
    """A colour bar beside the axes."""
    assert axes.figure is not None
    dress(axes.figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.03), paper, label)


def dress(bar: Colorbar, paper: Paper, label: str) -> None:
    """A colour bar in the paper's colours."""
    bar.set_label(label, color=paper.muted, fontsize=FONT)
    bar.ax.tick_params(colors=paper.muted, length=0, labelsize=FONT - 1)
    bar.outline.set_edgecolor(paper.line)  # type: ignore[operator]


def short(text: str, longest: int = LONGEST) -> str:
    """A label on one line: what cannot be seen made visible, and what is too long cut."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    return plain if len(plain) <= longest else plain[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"

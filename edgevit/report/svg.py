"""A matplotlib figure as SVG that belongs to the page: its fonts, its colours in light and dark, no style of its own.

The page's content policy refuses style attributes, and colours must follow the reader's theme. So what matplotlib
writes as `style="fill: #00f0c1"` becomes `fill="var(--c1)"`: the colours below are stand-ins, never seen.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, PAPER = "#00f0a1", "#00f0a2", "#00f0a3", "#00f0a4"
COLOURS = 8
"""How many colours the style sheet has for recipes."""
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", PAPER: "var(--paper)"}
DROPPED = {"metadata", "style"}
FONT = {"font-family", "font"}
DEFAULTS = {"stroke-linejoin": "round", "stroke-linecap": "butt", "aria-hidden": "true"}
"""What matplotlib says in its style sheet, and that the element around the drawing has the words for it."""
DPI = 72
"""Of every figure, as in SVG: one pixel is one point."""
HEX = re.compile("#[0-9a-f]{6}")


def colour(number: int) -> str:
    """The stand-in for the page's colour `--c{number}`."""
    return f"#00f0c{number % COLOURS}"


def themed_colour(number: int) -> str:
    """The page's own colour of that number, for what stands beside a chart."""
    return f"var(--c{number % COLOURS})"


def themed(figure: Figure, salt: str) -> str:
    """The figure as an <svg> element for a page. The same figure and salt give the same text, byte for byte."""
    root = ElementTree.fromstring(_drawn(figure, salt))
    for parent in list(root.iter()):
        for child in [c for c in parent if _local(c.tag) in DROPPED]:
            parent.remove(child)
    used = set(re.findall(r"#([\w.-]+)", " ".join(v for e in root.iter() for v in e.attrib.values())))
    for element in root.iter():
        _adopt(element, used)
    root.attrib = {"viewBox": root.attrib["viewBox"], **DEFAULTS}
    return ElementTree.tostring(root, encoding="unicode")


def _drawn(figure: Figure, salt: str) -> bytes:
    """matplotlib's own SVG: text as text, ids from a salt in place of chance, no date."""
    import matplotlib

    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return out.getvalue()


def _adopt(element: ElementTree.Element, used: set[str]) -> None:
    """Names without namespaces, as HTML wants them; styles as attributes; ids only where something refers to them."""
    element.tag = _local(element.tag)
    attributes = {_local(name): value for name, value in element.attrib.items()}
    styles = dict(_pair(item) for item in attributes.pop("style", "").split(";") if ":" in item)
    merged = attributes | {name: value for name, value in styles.items() if name not in FONT}
    element.attrib = {k: HEX.sub(_theme, v) for k, v in merged.items() if k != "id" or v in used}


def _theme(found: re.Match[str]) -> str:
    """The page's colour for a stand-in. Another colour would not follow the theme: a fault of ours, so a KeyError."""
    code = found.group()
    return THEME[code] if code in THEME else f"var(--c{_NUMBERS[code]})"


def _pair(item: str) -> tuple[str, str]:
    name, _, value = item.partition(":")
    return name.strip(), value.strip()


def _local(name: str) -> str:
    return name.rpartition("}")[2]


_NUMBERS = {colour(number): number for number in range(COLOURS)}

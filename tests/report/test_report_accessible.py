"""For who does not see it, or has no mouse: words for every picture, headings in order, and all can be reached and read."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgevit.report import html, page, svg
from edgevit.types import Bin, ClassScore, Confused, EvalResult, Gallery, Picture, Report


class Tree(HTMLParser):
    """Every element in order, with its attributes and those of what it stands in."""

    VOID = ("meta", "img", "source", "br", "link")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str], list[dict[str, str]]]] = []
        self.open: list[tuple[str, dict[str, str]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.found.append((tag, attributes, [above for _, above in self.open]))
        if tag not in self.VOID:
            self.open.append((tag, attributes))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, [above for _, above in self.open]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()


@pytest.fixture(scope="module")
def whole(benched: Report) -> Report:
    """With an evaluation and its pictures too, so that every kind of section is on the page."""
    scores = tuple(ClassScore(label, 10, 9, 10, 0.9, 0.9) for label in ("cat", "dog"))
    confused = (Confused("cat", "dog", 1, (0, 1)),)
    found = EvalResult(0.9, 20, 0.7, 0.97, 0.3, ece=0.02, bins=(Bin(0, 1, 20, 0.9, 0.9),), per_class=scores, confused=confused)
    picture = benched.samples[0].picture
    gallery = Gallery((Picture("Confusion", "rows are truths", picture, picture),))
    return replace(benched, evaluation=found, evaluated=gallery, inside=gallery)


@pytest.fixture(scope="module")
def tree(whole: Report) -> Tree:
    return Tree(html.render(page.build(whole), whole))


def test_every_element_is_closed(tree: Tree) -> None:
    assert tree.open == [] and len(tree.found) > 300


def test_every_picture_and_every_drawing_has_words_or_is_hidden(tree: Tree) -> None:
    images = [attributes for tag, attributes, _ in tree.found if tag == "img"]
    assert len(images) == 5 and all(len(image["alt"]) > 5 for image in images)
    drawings = [(attributes, above) for tag, attributes, above in tree.found if tag == "svg"]
    assert len(drawings) == 10 + 5, "charts, and the marks of the legend"
    assert all(attributes["aria-hidden"] == "true" for attributes, _ in drawings)
    spoken = [one["aria-label"] for _, above in drawings for one in above if one.get("role") == "img"]
    assert len(spoken) == 10 and all(len(words) > 40 for words in spoken)


def test_the_words_of_the_charts_hold_their_figures(tree: Tree) -> None:
    spoken = [attributes["aria-label"] for tag, attributes, _ in tree.found if attributes.get("role") == "img"]
    for needed in (
        "Pareto front: litert-int8 on GPU and executorch-fp32",
        "litert-int8 on GPU p50 6.08 ms, p90 6.21 ms, 5.9 to 6.37 ms over 120 runs in 6 launches",
        "executorch-int8 on CPU p50 9.00 ms at first and 13.5 ms after 2.8 min, from 35 to 52 °C",
        "executorch-fp32 51.0 MB, 24.0 MB of it before the model",
    ):
        assert any(needed in words for words in spoken), needed


def test_headings_go_down_one_step_at_a_time(tree: Tree) -> None:
    levels = [int(tag[1]) for tag, _, _ in tree.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_what_scrolls_sideways_can_be_reached_by_keyboard_and_has_a_name(tree: Tree) -> None:
    regions = [attributes for _, attributes, _ in tree.found if "wide" in attributes.get("class", "").split()]
    ids = {attributes["id"] for _, attributes, _ in tree.found if "id" in attributes}
    assert len(regions) == 8
    for region in regions:
        assert region["tabindex"] == "0" and region["role"] == "region"
        assert region.get("aria-label") or region["aria-labelledby"] in ids
    assert all(attributes["tabindex"] == "0" for tag, attributes, _ in tree.found if tag == "pre")
    tables = [above for tag, _, above in tree.found if tag == "table"]
    assert len(tables) == 8 and all(any("wide" in one.get("class", "") for one in above) for above in tables)


def test_ids_are_there_once_and_links_lead_somewhere(tree: Tree) -> None:
    ids = [attributes["id"] for _, attributes, _ in tree.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes, _ in tree.found if tag == "a"]
    assert all(link.removeprefix("#") in ids for link in links)


def test_a_cell_that_becomes_a_card_names_its_column(tree: Tree) -> None:
    """On a phone the head of these tables is out of sight."""
    cells = [attributes for tag, attributes, above in tree.found if tag == "td" and "rows" in above[-3].get("class", "")]
    assert len(cells) > 40 and all(cell["data-column"] for cell in cells)


RULE = re.compile(r"^([^{}@]+)\{([^{}]*)\}", re.MULTILINE)


def test_the_focus_is_seen_and_so_is_what_it_is_on() -> None:
    style = (Path(svg.__file__).parent / "report.css").read_text()
    rules = {name.strip(): body for name, body in RULE.findall(style)}
    assert "outline: 3px solid" in rules[":focus-visible"]
    assert not any("outline: none" in body or "outline: 0" in body for body in rules.values())


def test_letters_are_no_smaller_than_twelve_pixels() -> None:
    style = (Path(svg.__file__).parent / "report.css").read_text()
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)rem", style)]
    assert len(sizes) > 20 and min(sizes) >= 0.75

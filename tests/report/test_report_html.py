"""The page: whole in one file, escaped, and readable by machines that read to people."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgevit.report import html, page
from edgevit.types import Report, Sample


class Elements(HTMLParser):
    """Every element with its attributes, and the text of the page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.found if name == tag)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def source(written: Path) -> str:
    return (written / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def elements(source: str) -> Elements:
    return Elements(source)


def test_nothing_comes_from_outside(elements: Elements, source: str) -> None:
    for tag, attributes in elements.found:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", (tag, value)
            if name in ("src", "href", "xlink:href", "srcset", "data", "poster"):
                assert value.startswith(("data:image/png;base64,", "#")), (tag, value)
    assert "@import" not in source and "http://" not in source and "https://" not in source


def test_the_policy_admits_this_style_sheet_and_no_more(elements: Elements, source: str) -> None:
    policy = next(m["content"] for m in elements.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*?)</style>", source, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:;")
    assert "unsafe" not in policy
    assert source.index("Content-Security-Policy") < source.index("<style>")


def test_a_hostile_label_is_text(elements: Elements, source: str, hostile: str) -> None:
    assert "<script" not in source.lower() and "<img src=x" not in source
    assert " ".join(hostile.split()) in elements.words


def test_the_answer_is_the_first_section_and_the_verdict_the_second_and_red(elements: Elements, source: str) -> None:
    sections = elements.all("section")
    assert [next(sections)["class"], next(sections)["class"]] == ["ship", "verdict bad"]
    assert "1 of 6 artifacts failed: litert-int4 stopped at checking the answers" in elements.words
    names = "ship verdict artifacts charts measured spread sustained memory delegation samples evaluation absent repeat"
    order = [source.index(f'id="{name}"') for name in names.split()]
    assert order == sorted(order)


def test_a_good_report_says_so(all_pass: Report) -> None:
    elements = Elements(html.render(page.build(all_pass), all_pass))
    assert "verdict good" in {section.get("class") for section in elements.all("section")}
    assert "All 4 artifacts agree with the checkpoint." in elements.words


def test_every_figure_is_on_the_page(elements: Elements) -> None:
    for needed in (
        "1.62 MB",
        "97.2 % no change 96.0 % to 98.1 %",
        "\N{MINUS SIGN}8.20 points",
        "99.2 % of 1,000 images",
        "1.3e-06",
        "310 nodes inside 2 outside",
        "not counted: the device decides",
        "8.12 / 8.62 / 10.1 ms this machine (host), CPU 2 threads, 200 runs",
        "reference evaluator coreml runtime 1.0",
        "not measured: Core ML does not run on Linux",
        "not measured: skipped",
        "coremltools is not installed",
        "ViT Ti/8: width 192, depth 12, 3 heads, MLP 768, patch 8",
        "5.72 M (5,717,416)",
        "epochs 60, batch 64, learning rate 0.001",
        "relative error up to 0.05, top-1 at most 1 points lower, agreement at least 97 %",
        "For a Core ML file this is not Core ML",
        "ab12" * 16,
        "edgevit all pets --out runs/pets",
        "Somebody's laptop, 8 cores, Linux",
    ):
        assert needed in elements.words, needed


def test_no_cell_is_empty_or_a_lonely_dash(source: str) -> None:
    cells = re.findall(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", source, re.DOTALL)
    assert len(cells) > 60
    for cell in cells:
        text = re.sub("<[^>]+>", "", cell).strip()
        assert len(text) > 1 and re.search(r"\w", text), cell


def test_tables_have_captions_and_scoped_headers(elements: Elements) -> None:
    assert len(list(elements.all("caption"))) == len(list(elements.all("table"))) == 4
    assert {th["scope"] for th in elements.all("th")} == {"col", "row", "rowgroup"}
    rows = len(list(elements.all("tr"))) - 4
    assert sum(th["scope"] != "col" for th in elements.all("th")) == rows - 2, (
        "each row has one, but for the two that say a reason"
    )


def test_landmarks_language_and_names(elements: Elements) -> None:
    assert next(elements.all("html"))["lang"] == "en"
    tags = [tag for tag, _ in elements.found]
    assert tags.count("main") == tags.count("header") == tags.count("footer") == tags.count("h1") == 1
    ids = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    assert {section["aria-labelledby"] for section in elements.all("section")} <= ids


def test_every_picture_has_words(elements: Elements) -> None:
    assert all(image["alt"].startswith("Sample ") for image in elements.all("img"))
    charts = [div for div in elements.all("div") if div.get("role") == "img"]
    assert len(charts) == 4
    assert "executorch-int8 97.0 % at 4.91" in charts[0]["aria-label"]
    assert all(drawing["aria-hidden"] == "true" for drawing in elements.all("svg"))


def test_a_disagreement_is_marked_and_first(elements: Elements) -> None:
    assert "On 1 of 3 images the models disagree." in elements.words
    cards = [li.get("class", "") for li in elements.all("li") if li.get("class") in (None, "split")]
    assert cards.count("split") == 1
    assert "2. Truth: dog models disagree ✓ right: dog checkpoint, executorch-fp32 ✗ wrong: cat litert-int4" in elements.words
    assert "1. Truth: cat ✓ right: cat all 3 models" in elements.words


@pytest.mark.parametrize(
    "picture",
    [
        "https://example.org/x.png",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,eA==",
        "",
        'data:image/png;base64,"',
    ],
)
def test_a_picture_that_does_not_carry_itself_is_left_out(report: Report, picture: str) -> None:
    foreign = replace(report, samples=(Sample(picture, "cat", {"checkpoint": "cat"}),))
    elements = Elements(html.render(page.build(foreign), foreign))
    assert not list(elements.all("img"))
    assert "no picture in the record" in elements.words


def test_an_epoch_that_was_chosen_says_by_which_images(report: Report) -> None:
    """On the images that chose it, a checkpoint looks better than it is."""
    words = "the epoch was chosen by val_top1 on the held-out images"
    best = replace(report, checkpoint=replace(report.checkpoint, chosen_by="val_top1"))
    assert [words in html.render(page.build(r), r) for r in (best, report)] == [True, False]

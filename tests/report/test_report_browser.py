"""The page in a real browser: what it shows, that nothing in it runs, and that it fits a phone."""

from __future__ import annotations

import dataclasses
import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgevit.report import training
from edgevit.types import Course, Report, Watched

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MEASURE = """<!doctype html><meta charset="utf-8"><body><iframe width="{width}" height="900" srcdoc="{page}"></iframe>
<script>
document.querySelector("iframe").addEventListener("load", event => {{
  const root = event.target.contentDocument.documentElement;
  document.body.dataset.width = root.clientWidth;
  document.body.dataset.needs = root.scrollWidth;
  document.body.dataset.cut = [...root.querySelectorAll("*")].filter(e => {{
    return e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX == "auto";
  }}).map(e => e.className + " " + e.scrollWidth + " > " + e.clientWidth);
}});</script>"""
"""A page around the page, whose script may run: it measures what stands inside, which is left as it is."""


def dom(file: Path, profile: Path) -> str:
    """The document after it was loaded, as the browser holds it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    command = [browser, *QUIET, f"--user-data-dir={profile}", "--dump-dom", file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def shown(document: str) -> str:
    """The text of a document, without its style sheet."""
    body = re.sub(r"<style.*?</style>", "", document, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", body)).split())


def test_the_browser_shows_the_report_and_runs_nothing(written: Path, tmp_path: Path, hostile: str) -> None:
    document = dom(written / "report.html", tmp_path / "profile")
    text = shown(document)
    assert "1 of 6 artifacts failed: litert-int4 stopped at checking the answers; 4 agree with the checkpoint." in text
    assert "8.12 / 8.62 / 10.1 ms this machine (host), CPU 2 threads, 200 runs" in text
    assert " ".join(hostile.split()) in text
    assert "<script" not in document
    assert "data-ran" not in document
    assert "<title>Pets on a phone</title>" in document


def test_the_policy_stops_a_script_that_got_in(written: Path, tmp_path: Path) -> None:
    """A second wall: were escaping ever to fail, nothing would run. Without the policy the same script does run."""
    page = (written / "report.html").read_text(encoding="utf-8")
    broken = page.replace("</main>", "<script>document.documentElement.dataset.ran = 1</script></main>")
    (tmp_path / "guarded.html").write_text(broken, encoding="utf-8")
    (tmp_path / "bare.html").write_text(broken.replace("Content-Security-Policy", "X-None"), encoding="utf-8")
    assert "data-ran" not in dom(tmp_path / "guarded.html", tmp_path / "profile")
    assert "data-ran" in dom(tmp_path / "bare.html", tmp_path / "profile")


@pytest.mark.parametrize("width", [320, 390, 800, 1160, 1280])
def test_nothing_sticks_out_sideways(written: Path, tmp_path: Path, width: int) -> None:
    fits((written / "report.html").read_text(encoding="utf-8"), tmp_path, width)


@pytest.mark.parametrize("width", [320, 390, 980, 1280])
def test_nor_does_a_bench_of_several_devices(benched_page: str, tmp_path: Path, width: int) -> None:
    fits(benched_page, tmp_path, width)


@pytest.mark.parametrize("width", [320, 1280])
def test_nor_does_a_search(swept_folder: Path, tmp_path: Path, width: int) -> None:
    fits((swept_folder / "sweep.html").read_text(encoding="utf-8"), tmp_path, width)


def test_a_search_that_others_named_is_text(swept_folder: Path, tmp_path: Path) -> None:
    document = dom(swept_folder / "sweep.html", tmp_path / "profile")
    text = shown(document)
    assert "Trial 3 did best: 92.5 % of 143 images" in text and "document.documentElement.dataset.ran" in text
    assert "data-ran" not in document and "<script" not in document


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nor_does_the_page_of_trainings(report: Report, tmp_path: Path, width: int) -> None:
    """With a name and a setting that know no end."""
    assert report.checkpoint.train
    train = dataclasses.replace(report.checkpoint.train, data="x" * 200, said=("data",))
    best = dataclasses.replace(report.checkpoint, train=train)
    rows = tuple({"epoch": float(n), "loss": 2.0 / n, "val_loss": 2.5 / n, "seconds": 1.0} for n in (1, 2, 3))
    courses = [Course(name, tmp_path, rows, best, Watched(("a machine",))) for name in ("one", "two" * 60)]
    fits(training.render(courses, "today"), tmp_path, width)


def fits(page: str, tmp_path: Path, width: int) -> None:
    around = tmp_path / "around.html"
    around.write_text(MEASURE.format(width=width, page=html.escape(page)), encoding="utf-8")
    found = re.search(r'data-width="(\d+)" data-needs="(\d+)" data-cut="([^"]*)"', dom(around, tmp_path / "profile"))
    assert found, "the page was not measured"
    assert int(found.group(2)) <= int(found.group(1)) <= width
    assert not found.group(3), "a table must be moved sideways to be read"

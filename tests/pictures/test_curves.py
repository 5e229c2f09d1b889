"""The curves of trainings as a picture: what is in it, and that names are no formulas."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from edgevit.pictures import curves, paper
from edgevit.types import Course


def course(name: str, epochs: int = 5, **more: float) -> Course:
    rows = tuple(
        {"epoch": float(n), "loss": 2 / n, "val_loss": 3 / n, "val_top1": 1 - 1 / (n + 1), **more} for n in range(1, epochs + 1)
    )
    return Course(name, Path(name), rows)


def shown(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def has(picture: np.ndarray, colour: str) -> bool:
    return bool((np.abs(picture / 255 - np.array(to_rgb(colour))).max(-1) < 0.02).sum() > 20)


@pytest.mark.parametrize("where", [paper.LIGHT, paper.DARK], ids=["light", "dark"])
def test_each_run_has_its_colour(where: paper.Paper) -> None:
    colours = curves.COLOURS[where is paper.DARK]
    two = shown(curves.curves([course("one"), course("two", 3)]).png(where))
    assert has(two, colours[0]) and has(two, colours[1]) and not has(two, colours[2]) and has(two, where.ground)


def test_one_run_tells_held_out_from_training_by_colour() -> None:
    figure = curves.curves([course("one")]).draw(paper.LIGHT)
    loss, top1 = figure.axes[:2]
    assert [(line.get_label(), line.get_color()) for line in loss.lines] == [
        ("training", curves.COLOURS[0][0]), ("held-out", curves.COLOURS[0][1]),
    ]  # fmt: skip
    assert top1.lines[0].get_color() == curves.COLOURS[0][1] and next(iter(top1.lines[0].get_ydata())) == pytest.approx(50.0)


def test_there_is_a_chart_for_each_metric_and_one_epoch_is_a_dot() -> None:
    figure = curves.curves([course("one", 1, lr=0.1, other=2.0)]).draw(paper.LIGHT)
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.lines] == ["Loss", "Top-1, %", "Learning rate", "other"]
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.lines)


def test_a_name_is_no_formula_and_the_bytes_are_the_same_again() -> None:
    hostile = curves.curves([course("$\\frac{1$ \x1b[31m" + "x" * 200), course("$x$")])
    assert hostile.png(paper.LIGHT) == hostile.png(paper.LIGHT)


def test_the_colours_are_those_of_the_report() -> None:
    style = (Path(__file__).parents[2] / "edgevit" / "report" / "report.css").read_text()
    found = [tuple(re.findall(r"--c\d: (#\w{6})", line)) for line in style.splitlines() if "--c0:" in line]
    assert [curves.COLOURS[0], curves.COLOURS[1]] == found[:2]

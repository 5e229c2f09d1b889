"""Pictures are whole PNGs of a sane size that show something, on light and on dark paper, and words say what."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgevit.pictures import evaluation, inside, plan
from edgevit.pictures.paper import DARK, LIGHT, Drawing, short
from edgevit.types import (
    Attended,
    BenchRules,
    Bin,
    Candidate,
    ClassScore,
    Confused,
    Design,
    DeviceFacts,
    DevicePlan,
    Distances,
    EvalResult,
    Filters,
    Measured,
    Plan,
    PlanBudget,
    PlannedPoint,
    Positions,
)
from edgevit.vit.config import config

RANDOM = np.random.default_rng(0)


def evaluated(classes: int, name: str = "class {}") -> EvalResult:
    """Ten images of each class; of each odd one, two are taken for the class before."""
    scores = [
        ClassScore(name.format(n), 10, 10 - 2 * (n % 2), 10 + 2 * (n % 2 == 0), 1 - 0.2 * (n % 2), 0.9) for n in range(classes)
    ]
    pairs = [Confused(scores[n].label, scores[n - 1].label, 2, (n, n - 1)) for n in range(1, classes, 2)]
    bins = tuple(Bin(m / 15, (m + 1) / 15, 10 * m, (m + 0.5) / 15, (m + 0.2) / 15) if m else Bin(0, 1 / 15, 0) for m in range(15))
    return EvalResult(0.9, 10 * classes, 0.85, 0.93, 0.4, (), 0.99, 0.02, bins, tuple(scores), tuple(pairs))


def attended(rows: int, columns: int, image: str = "photos/cat.jpg", labels: tuple[str, ...] = ("cat", "dog")) -> Attended:
    rollout = RANDOM.random((rows, columns))
    return Attended(image, labels, (0.9, 0.1)[: len(labels)], tuple(map(tuple, (rollout / rollout.sum()).tolist())), 0.25)


def _positions(rows: int, columns: int) -> Drawing | None:
    table = RANDOM.random((2 * rows - 1, 2 * columns - 1)).tolist()
    found = Positions("1d", "cosine similarity", tuple(map(tuple, table)))
    return inside.positions(found, RANDOM.uniform(-1, 1, (rows * columns, rows, columns)), (rows, columns))


def _norms(layers: int) -> Drawing | None:
    found = Positions("relative", "norm", ((0.1, 0.2, 0.3),))
    return inside.positions(found, RANDOM.random((layers, 7, 13)), (4, 7))


def _filters(count: int) -> Drawing | None:
    return inside.filters(Filters("patch embedding", 96, (8, 8), (1 / 28,) * count), RANDOM.normal(size=(count, 8, 8, 3)))


def _distance(layers: int, heads: int) -> Drawing | None:
    pixels = tuple(map(tuple, RANDOM.uniform(10, 90, (layers, heads)).tolist()))
    return inside.distance(Distances(pixels, 86.1, 128, "pets"))


def _image(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def _plan(*devices: str) -> Plan:
    """Ten points on each device, every third held out, between 1 and 10 ms."""
    shape = Candidate(config("Nano/8", (32, 32), 10), "tflite", "fp32")
    times = RANDOM.uniform(1, 10, 10).tolist()
    found = []
    for device in devices:
        points = [PlannedPoint(Measured(shape, device, t), 1.1 * t, n % 3 == 0) for n, t in enumerate(times)]
        found.append(DevicePlan(DeviceFacts(device), (), tuple(points)))
    return Plan(PlanBudget(), Design(), BenchRules(), 10, tuple(found), (), "", {})


DRAWINGS: dict[str, Callable[[], Drawing | None]] = {
    "28 filters": lambda: _filters(28),
    "3 filters": lambda: _filters(3),
    "positions of a square": lambda: _positions(14, 14),
    "positions of a strip": lambda: _positions(1, 6),
    "positions of many patches": lambda: _positions(20, 30),
    "positions of one patch": lambda: _positions(1, 1),
    "norms of 1 layer": lambda: _norms(1),
    "norms of 12 layers": lambda: _norms(12),
    "distances": lambda: _distance(12, 3),
    "distance of one head": lambda: _distance(1, 1),
    "attention": lambda: inside.attention(attended(14, 14), _image(224, 224), "attention-01"),
    "attention to a wide image": lambda: inside.attention(attended(2, 8), _image(32, 128), "attention-01"),
    "attention to a tall image": lambda: inside.attention(attended(8, 2), _image(128, 32), "attention-01"),
    "attention without a head": lambda: inside.attention(attended(2, 2, labels=()), _image(16, 16), "attention-01"),
    "confusion of 2": lambda: evaluation.confusion(evaluated(2)),
    "confusion of 10": lambda: evaluation.confusion(evaluated(10)),
    "confusion of 50": lambda: evaluation.confusion(evaluated(50, "a class of quite a long name, {}")),
    "confusion of 1000": lambda: evaluation.confusion(evaluated(1000)),
    "hostile names": lambda: evaluation.confusion(evaluated(60, "$\\frac{{{}}}$\n<b>\x00\u202e")),
    "plan of one device": lambda: plan.predicted(_plan("local")),
    "plan of two devices": lambda: plan.predicted(_plan("local", "ssh://$\\frac{{pi}}$@one")),
    "reliability": lambda: evaluation.reliability(evaluated(10)),
}


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_picture_is_a_png_that_shows_something(name: str) -> None:
    drawing = DRAWINGS[name]()
    assert drawing is not None
    light, dark = (drawing.png(paper) for paper in (LIGHT, DARK))
    for png, ground in ((light, 255), (dark, 0x11)):
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.load()
            assert 150 <= image.width <= 2000 and 90 <= image.height <= 2000
            pixels = np.asarray(image.convert("RGB"))
        assert pixels[0, 0, 0] == ground, "the corner is paper"
        assert len(np.unique(pixels @ (65536, 256, 1))) > 20
        assert (pixels != pixels[0, 0]).any(-1).mean() > 0.02
    assert len(light) < 1 << 20
    assert drawing.png(LIGHT) == light, "the same bytes each time"


@pytest.mark.parametrize("name", DRAWINGS)
def test_words_say_what_one_sees(name: str) -> None:
    drawing = DRAWINGS[name]()
    assert drawing is not None and len(drawing.words) > 60 and drawing.words.rstrip().endswith(".")
    assert "nan" not in drawing.words and "\n" not in drawing.words and "\u202e" not in drawing.words


def test_the_words_hold_the_figures() -> None:
    assert "Most often class 1 is taken for class 0: 2 times" in evaluation.confusion(evaluated(10)).words
    assert "10 of 100 images are off it, in 5 of 90 cells" in evaluation.confusion(evaluated(10)).words
    assert "too many classes to name" in evaluation.confusion(evaluated(51)).words
    assert "too many classes to name" not in evaluation.confusion(evaluated(50)).words
    assert "2.00 points" in evaluation.reliability(evaluated(10)).words
    distances = inside.distance(Distances(((10.0, 30.0), (50.0, 70.0)), 86.1, 7, "pets"))
    assert distances and "first layer averages 20.0 pixels, the last 60.0; the most local head 10.0" in distances.words
    assert "7 images (pets)" in distances.words and "86.1 (dashed)" in distances.words
    even = Attended("a.png", ("cat",), (0.5,), ((0.1, 0.2), (0.3, 0.4)), 0.0)
    assert "the patch in row 2, column 2 of 2 x 2: 1.60." in inside.attention(even, _image(8, 8), "x").words


def test_the_matrix_is_put_together_again() -> None:
    matrix = evaluation.counts(evaluated(4))
    assert matrix.tolist() == [[10, 0, 0, 0], [2, 8, 0, 0], [0, 0, 10, 0], [0, 0, 2, 8]]


def test_filters_that_are_all_alike_have_no_picture() -> None:
    assert _filters(0) is None


def test_a_model_without_positions_or_images_has_no_such_picture() -> None:
    assert inside.positions(Positions("none"), np.zeros((0, 2, 2)), (2, 2)) is None
    assert "has none to draw (positions: none)" in inside.no_positions(Positions("none"))
    assert inside.distance(Distances((), 10.0, 0, "", "no images")) is None


def test_tiles_beyond_what_can_be_seen_are_left_out_aloud() -> None:
    many, few = _positions(20, 30), _positions(14, 14)
    assert many and "Of 20 x 30 tiles, 14 x 14 are drawn." in many.words
    assert few and "tiles" not in few.words


def test_a_heat_is_where_the_rollout_is() -> None:
    """One patch of a black image: below right, the drawing is brighter than above left."""
    rollout = ((0.0, 0.0), (0.0, 1.0))
    found = replace(attended(2, 2), rollout=rollout)
    png = inside.attention(found, np.zeros((64, 64, 3), np.uint8), "attention-01").png(LIGHT)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(float)
    height, width = pixels.shape
    right = pixels[int(0.25 * height) : int(0.9 * height), int(0.52 * width) : int(0.8 * width)]
    above, below = np.array_split(right, 2)
    assert np.array_split(below, 2, 1)[1].mean() > np.array_split(above, 2, 1)[0].mean() + 30


def test_a_label_is_one_short_line() -> None:
    assert short("a\n b") == "a b" and short("x" * 30) == "x" * 21 + "…" and "\u202e" not in short("a\u202eb\x00")

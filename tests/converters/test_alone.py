"""What the conversions of one export do by turns, since it needs the most memory, and once for all."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import math
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

import converters
import quantize
from converters.order import Order
from converters.rewrite import rewriting
from edgevit.jobs.export import _locked, _once, compute_with
from edgevit.types import Input, Preprocess, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from quantize import apply as quantizing
from targets import all_targets

SHAPE = config("Pico/8", (16, 16), 5)


def test_a_conversion_holds_it_and_lets_it_go(tmp_path: Path) -> None:
    """By turns, never within itself: who waits for what it holds waits for ever."""
    held, how = [0], []

    @contextlib.contextmanager
    def holding(name: str) -> Iterator[None]:
        how.append(name)
        held.append(held[-1] + 1)
        yield
        held.append(held[-1] - 1)

    images = torch.randn(2, 3, 16, 16)
    order = Order(
        ViT(SHAPE).eval(), quantize.get("fp32"), images, Preprocess((16, 16), (16, 16)),
        alone=partial(holding, "alone"), beside=partial(holding, "beside"),
    )  # fmt: skip
    limit = sys.getrecursionlimit()
    converters.convert("tflite", order, tmp_path, silent)
    assert sys.getrecursionlimit() == limit, "litert-torch raises it for good"
    assert max(held) == 1 and held[-1] == 0
    assert how == ["beside", "alone", "alone"], "for the proofs, the file, and the count of what is delegated"


ALONE, BESIDE = fcntl.LOCK_EX, fcntl.LOCK_SH


@pytest.mark.parametrize(("held", "wanted"), [(ALONE, ALONE), (ALONE, BESIDE), (BESIDE, ALONE), (BESIDE, BESIDE)])
def test_who_is_alone_and_who_is_beside_another(held: int, wanted: int, tmp_path: Path) -> None:
    file, inside, let_go, second = tmp_path / "lock", threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with _locked(file, held):
            inside.set()
            assert let_go.wait(30)

    def other() -> None:
        with _locked(file, wanted):
            second.set()

    threads = [threading.Thread(target=first), threading.Thread(target=other)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    together = held == wanted == BESIDE
    assert second.wait(30 if together else 0.3) is together
    let_go.set()
    assert second.wait(30)
    for thread in threads:
        thread.join()


def test_what_was_measured_of_a_model_is_not_measured_again(tmp_path: Path) -> None:
    """What a second converter applies as the first did is known; what it adds is measured, and all is as if it were alone."""
    asked: list[str] = []

    def once(words: str, measure: Callable[[], list[float]]) -> list[float]:
        def measured() -> list[float]:
            asked.append(words)
            return measure()

        return _once(tmp_path, "a model", words, measured)

    vit = ViT(SHAPE).eval().requires_grad_(False)
    for p in vit.parameters():
        p.add_(0.1 * torch.randn_like(p))
    order = Order(vit, quantize.get("fp32"), torch.randn(2, 3, 16, 16), Preprocess((16, 16), (16, 16)))
    sharing = dataclasses.replace(order, once=once)
    counts = []
    for name in ("executorch", "tflite", "tflite"):
        asked.clear()
        assert sharing.rewritten(converters.file(name).REWRITES)[1] == order.rewritten(converters.file(name).REWRITES)[1]
        counts.append(len(asked))
    first, second, again = counts
    assert 0 < second < first / 2 and again == 0
    asked.clear()
    dataclasses.replace(sharing, input=Input.PIXELS).rewritten(converters.file("tflite").REWRITES, 2.0)
    pixels = len(asked)
    dataclasses.replace(sharing, input=Input.PIXELS).rewritten(converters.file("tflite").REWRITES, 1.0)
    assert len(asked) == 2 * pixels > 0, "the model takes something else"


@pytest.mark.parametrize("recipe", ["fp32", "int8"])
@pytest.mark.parametrize("unknown", [0, 1, 7])
def test_a_copy_whose_figures_are_known_is_not_made(recipe: str, unknown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of that whose last figures are not, as many as are `unknown` are measured, and come out the same."""
    known: dict[str, list[float]] = {}
    asked: list[str] = []

    def once(words: str, measure: Callable[[], list[float]]) -> list[float]:
        if words not in known:
            asked.append(words)
            known[words] = list(measure())
        return known[words]

    vit = ViT(SHAPE).eval().requires_grad_(False)
    quantizing.apply(vit, quantize.get(recipe), False)
    order = Order(vit, quantize.get(recipe), torch.randn(2, 3, 16, 16), Preprocess((16, 16), (16, 16)), once=once)
    rewrites = converters.file("executorch").REWRITES
    model, done = order.rewritten(rewrites)
    before, last = dict(known), asked[len(asked) - unknown :]
    for words in last:
        del known[words]
    asked.clear()
    made: list[object] = []
    double, answers = ViT.double, rewriting._answers
    monkeypatch.setattr(ViT, "double", lambda vit: made.append(vit) or double(vit))
    monkeypatch.setattr(rewriting, "_answers", lambda *given: made.append(given) or answers(*given))
    again, told = order.rewritten(rewrites)
    assert asked == last and known == before and told == done
    assert bool(made) is any("parts of" not in words for words in last)
    torch.testing.assert_close(again(order.images[:1]), model(order.images[:1]), rtol=0, atol=0)


def test_torch_computes_with_the_threads_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        compute_with(3)
        assert torch.get_num_threads() == 3
        compute_with(None)
        assert torch.get_num_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        compute_with(2)
        assert torch.get_num_threads() == 3, "the user's word"
    finally:
        torch.set_num_threads(before)


def test_of_another_model_it_is(tmp_path: Path) -> None:
    numbers = [0.1, math.inf, 1e-300, 5e-324]
    assert _once(tmp_path, "a model", "words", lambda: numbers) == numbers
    assert _once(tmp_path, "a model", "words", lambda: [2.0]) == numbers
    assert _once(tmp_path, "another", "words", lambda: [2.0]) == [2.0]


def test_some_measure_the_same_at_once(tmp_path: Path) -> None:
    """Whoever is first or last, all have it, and nothing else is left behind."""
    barrier, found = threading.Barrier(8, timeout=30), []

    def one() -> None:
        for number in range(100):
            barrier.wait()
            found.append(_once(tmp_path, "a model", str(number), lambda: [0.5]))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[0.5]] * 800 and len(list(tmp_path.iterdir())) == 100


def test_a_rewrite_is_known_by_its_name() -> None:
    named: dict[str, object] = {}
    for converter in {target.converter for target in all_targets()}:
        for rewrite in converters.file(converter).REWRITES:
            assert named.setdefault(rewrite.name, rewrite) is rewrite

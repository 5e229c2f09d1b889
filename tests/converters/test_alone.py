"""What the conversions of one export do by turns, since it needs the most memory, and once for all."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import converters
import quantize
from converters.order import Order
from edgevit.jobs.export import _alone, _once
from edgevit.types import Input, Preprocess, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT
from targets import all_targets

SHAPE = config("Pico/8", (16, 16), 5)


def test_a_conversion_holds_it_and_lets_it_go(tmp_path: Path) -> None:
    """By turns, never within itself: who waits for what it holds waits for ever."""
    held = [0]

    @contextlib.contextmanager
    def alone() -> Iterator[None]:
        held.append(held[-1] + 1)
        yield
        held.append(held[-1] - 1)

    images = torch.randn(2, 3, 16, 16)
    order = Order(ViT(SHAPE).eval(), quantize.get("fp32"), images, Preprocess((16, 16), (16, 16)), alone=alone)
    limit = sys.getrecursionlimit()
    converters.convert("tflite", order, tmp_path, silent)
    assert sys.getrecursionlimit() == limit, "litert-torch raises it for good"
    assert max(held) == 1 and held[-1] == 0 and held.count(1) >= 3, "for the proofs, the file, and the count of what is delegated"


def test_one_at_a_time(tmp_path: Path) -> None:
    file, inside, let_go, second = tmp_path / "lock", threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with _alone(file):
            inside.set()
            assert let_go.wait(30)

    def other() -> None:
        with _alone(file):
            second.set()

    threads = [threading.Thread(target=first), threading.Thread(target=other)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    assert not second.wait(0.3)
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


def test_of_another_model_it_is(tmp_path: Path) -> None:
    numbers = [0.1, math.inf, 1e-300, 5e-324]
    assert _once(tmp_path, "a model", "words", lambda: numbers) == numbers
    assert _once(tmp_path, "a model", "words", lambda: [2.0]) == numbers
    assert _once(tmp_path, "another", "words", lambda: [2.0]) == [2.0]


def test_a_rewrite_is_known_by_its_name() -> None:
    named: dict[str, object] = {}
    for converter in {target.converter for target in all_targets()}:
        for rewrite in converters.file(converter).REWRITES:
            assert named.setdefault(rewrite.name, rewrite) is rewrite

"""While a conversion needs the most memory, no other of the same export does."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import torch

import converters
import quantize
from converters.order import Order
from edgevit.jobs.export import _alone
from edgevit.types import Preprocess, silent
from edgevit.vit.config import config
from edgevit.vit.model import ViT

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

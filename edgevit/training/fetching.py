"""Shards that lie elsewhere, brought here before their images are due."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edgevit.data.dataset import Images
from edgevit.errors import EdgevitError

SHARDS = 2
"""How many are fetched before the one that is due."""


class Fetching:
    """Walks through `chunks`, the numbers of the images of each batch. What goes wrong is met again where an image is opened."""

    def __init__(self, images: Images, chunks: list[np.ndarray]) -> None:
        self.chunks, self._fetch = chunks, images.fetch
        self._rows: list[tuple[int, int]] = []  # (first batch that needs it, shard)
        self._asked = 0
        self._thread: ThreadPoolExecutor | None = None
        if images.fetch and images.groups is not None:
            self._rows = _first_needed(images.groups, chunks)
            self._thread = ThreadPoolExecutor(1)

    def soon(self, place: int) -> None:
        """The batch at `place` is begun now: let what it and those soon after it need be fetched."""
        begun = bisect_right(self._rows, place, key=lambda row: row[0])
        while self._thread and self._asked < min(begun + SHARDS, len(self._rows)):
            self._thread.submit(self._one, self._rows[self._asked][1])
            self._asked += 1

    def stop(self) -> None:
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _one(self, shard: int) -> None:
        assert self._fetch
        with contextlib.suppress(EdgevitError, OSError):
            self._fetch(shard)


def _first_needed(groups: np.ndarray, chunks: list[np.ndarray]) -> list[tuple[int, int]]:
    """(place of the first batch that needs it, shard), in the order in which they are needed."""
    found: dict[int, int] = {}
    for place, numbers in enumerate(chunks):
        for shard in dict.fromkeys(groups[numbers].tolist()):
            found.setdefault(shard, place)
    return [(place, shard) for shard, place in found.items()]

"""A watcher beside the training: it may be slow, hang or fail, and the training knows nothing of it."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from edgevit.training.watching import scrub
from edgevit.training.watching.watcher import Watcher

Call = Callable[[], None]


class Aside:
    """A watcher in a thread of its own. What it cannot take now it is offered again before the next, in order.

    `failed` is called with words, once, when it first fails.
    """

    def __init__(self, name: str, watcher: Watcher, failed: Callable[[str], None]) -> None:
        self.name, self.watcher, self.failed = name, watcher, failed
        self.calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.waiting: deque[Call] = deque()
        self.fault = ""
        self.thread = threading.Thread(target=self._work, name=f"watch {name}", daemon=True)
        self.thread.start()

    def begin(self, settings: Mapping[str, object], resumed_from: int | None) -> None:
        self.calls.put(partial(self.watcher.begin, settings, resumed_from))

    def row(self, metrics: Mapping[str, float]) -> None:
        self.calls.put(partial(self.watcher.row, metrics))

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.calls.put(partial(self.watcher.step, step, metrics))

    def end(self, ending: str) -> None:
        self.calls.put(partial(self.watcher.end, ending))
        self.calls.put(None)

    def wait(self, until: float) -> str:
        """What went wrong, once it has ended, or at the monotonic time `until`; empty where nothing did."""
        self.thread.join(max(0.0, until - time.monotonic()))
        if self.thread.is_alive():
            why = f": {self.fault}" if self.fault else ""
            return f"had not taken all of the training when it was over, and was not waited for{why}"
        if self.waiting:
            return f"did not take all of the training: {self.fault}"
        return f"failed for a while, and then took all that it had missed: {self.fault}" if self.fault else ""

    def _work(self) -> None:
        call: Call | None = self.calls.get()
        while call is not None:
            self.waiting.append(call)
            self._offer()
            call = self.calls.get()
        self._offer()

    def _offer(self) -> None:
        try:
            while self.waiting:
                self.waiting[0]()
                self.waiting.popleft()
        except (Exception, SystemExit) as error:  # whatever it is, it is theirs
            if not self.fault:
                self.failed(scrub.words(error))
            self.fault = scrub.words(error)

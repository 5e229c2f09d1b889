"""Which work runs beside which, and the threads that wait for it: as many at once as cores and memory hold.

The bar is the stock conversions, done one after another: no more memory than the largest of them needs, and a fifth. Small work,
whose memory is that of the libraries it loads, runs side by side nevertheless; large work only where all together stay below it.
What a work expects to take is asked again and again: once its conversion is done, another may begin beside its check.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgevit.stage import Children
from edgevit.types import Footprint, Progress

T = TypeVar("T")
STOCK = Footprint(745 << 20, 5.0)
"""What the largest of the stock conversions takes, TFLite's in float32, as it was measured (docs/log.md)."""
OVER_THE_LARGEST = 1.2
"""How much more all together may take than that one alone."""
FREELY = 2 << 30
"""Bytes that a machine for this work has to spare: two small conversions."""
LEFT_ALONE = 0.8
"""The share of the free memory that is counted on; others want some too."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """Something to do in child processes. `expected` are the bytes that it may still take, as they are known when asked.

    Of what is waiting, the one of most `seconds` begins first, so that no core is left with nothing to do while another does it.
    """

    name: str
    expected: Callable[[], int]
    do: Callable[[Progress, Children], T]
    seconds: float = 0.0


@dataclass(frozen=True)
class Room:
    """Most works at once, and most bytes that they are expected to take together; None where nobody knows what is free."""

    jobs: int
    bytes: int | None
    cores: int = 1

    def holds(self, expected: int, running: Sequence[int]) -> bool:
        """Whether a work joins those that run. One alone always may: it could not be done otherwise."""
        if not running:
            return True
        return len(running) < self.jobs and self.bytes is not None and sum(running) + expected <= self.bytes

    def threads(self, expected: Sequence[int]) -> int:
        """For each of the works that are expected to take so many bytes, so that those at once have no more than there are cores.

        Threads that share a core wait for each other: beside other work, Linears took up to three times as long on two threads of
        two cores as on one (docs/log.md).
        """
        mean = max(1, sum(expected) // max(1, len(expected)))
        abreast = 1 if self.bytes is None else min(self.jobs, len(expected), self.bytes // mean)
        return max(1, self.cores // max(1, abreast))


def room(jobs: int | None, weights: int, free: int | None, cores: int) -> Room:
    """The room for works on a model of so many bytes of weights, which all of them share and nobody counts as his own.

    Who asks for a number of `jobs` is held by the free memory and the cores alone.
    """
    if free is None:
        return Room(1, None, cores)
    most = int(LEFT_ALONE * free)
    if jobs is not None:
        return Room(min(jobs, cores), most, cores)
    return Room(cores, min(most, max(FREELY, int(OVER_THE_LARGEST * STOCK.bytes(weights)) - weights)), cores)


def in_order(works: Sequence[Work[T]], place: Room, progress: Progress) -> Iterator[T]:
    """Do all of them, and yield what each gives in the order of `works`. What one raises stops all, and is raised here.

    `progress` is called by this thread alone, with "NAME: " before each label, and with that alone when a work is over.
    """
    crew: _Crew[T] = _Crew(works, place)
    done: dict[int, T] = {}
    try:
        for number in range(len(works)):
            while number not in done:
                crew.start()
                crew.hear(done, progress)
            yield done.pop(number)
    finally:
        crew.leave()


class _Crew(Generic[T]):
    """One thread for each work that runs. They speak to the first thread through a queue, and to nobody else."""

    def __init__(self, works: Sequence[Work[T]], place: Room) -> None:
        self.works, self.place = works, place
        self.waiting = sorted(range(len(works)), key=lambda number: -works[number].seconds)
        self.running: dict[int, threading.Thread] = {}
        self.words: queue.SimpleQueue[Callable[[dict[int, T], Progress], None]] = queue.SimpleQueue()
        self.children = Children()

    def start(self) -> None:
        """Start whatever fits beside what runs, the longest first."""
        for number in tuple(self.waiting):
            if self.place.holds(self.works[number].expected(), [self.works[other].expected() for other in self.running]):
                self.waiting.remove(number)
                self.running[number] = threading.Thread(target=self._do, args=(number,), name=self.works[number].name)
                self.running[number].start()

    def hear(self, done: dict[int, T], progress: Progress) -> None:
        """Wait for the next word of a thread. Raises what the work raised."""
        self.words.get()(done, progress)

    def leave(self) -> None:
        self.children.stop()
        for thread in self.running.values():
            thread.join()

    def _do(self, number: int) -> None:
        """In the thread of a work: the work, then a last word."""
        work = self.works[number]
        try:
            result = work.do(self._told(work.name), self.children)
        except BaseException as error:
            self.words.put(self._raised(error))
        else:
            self.words.put(self._finished(number, result))

    def _told(self, name: str) -> Progress:
        def tell(label: str, done: float, total: float | None) -> None:
            self.words.put(lambda _, progress: progress(f"{name}: {label}", done, total))

        return tell

    def _raised(self, error: BaseException) -> Callable[[dict[int, T], Progress], None]:
        def say(done: dict[int, T], progress: Progress) -> None:
            raise error

        return say

    def _finished(self, number: int, result: T) -> Callable[[dict[int, T], Progress], None]:
        def say(done: dict[int, T], progress: Progress) -> None:
            self.running.pop(number).join()
            done[number] = result
            progress(f"{self.works[number].name}: ", 1, 1)

        return say

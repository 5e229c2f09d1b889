"""What is said of the time that is left: true for a steady training, from its first second, with evaluation and resumption."""

from __future__ import annotations

import pytest

from edgevit.training.pace import Pace, Way, span
from edgevit.types import read_label
from edgevit.types.work import MARKED

WAY = Way(epochs=4, batches=10, images=100, held_out=30)
BATCH, BEHIND = 2.0, 5.0
"""Seconds that a batch takes, and what comes behind all of an epoch."""


class Followed:
    """A training on a clock of its own; what was told, with the true time that was left then."""

    def __init__(self, done: int = 0, first: float = BATCH) -> None:
        self.now, self.first = 100.0, first
        self.told: list[tuple[str, float, float | None]] = []
        self.marks: list[str] = []
        self.asked = 0
        self.pace = Pace(self._tell, WAY, done, lambda: self.now)
        self.done = done

    def _tell(self, label: str, done: float, total: float | None) -> None:
        if MARKED in label:
            self.marks.append(label.replace(MARKED, ""))
        else:
            assert total == 4 * 11
            self.told.append((label, done, self.now))

    def _total(self) -> float:
        self.asked += 1
        return 0.5 * self.pace.images

    def train(self) -> None:
        for epoch in range(self.done + 1, WAY.epochs + 1):
            self.pace.begin(epoch)
            for number in range(WAY.batches):
                self.now += self.first if epoch == self.done + 1 and number == 0 else BATCH
                self.pace.batch(10, self._total)
            self.pace.evaluating()
            self.now += BEHIND
            self.pace.end({"epoch": float(epoch), "loss": 0.5, "val_top1": 0.75})

    def errors(self, since: float = 0.0) -> list[float]:
        """Of each time that was said to be left, how far it was from what was."""
        left = [(now, read_label(label).left) for label, _, now in self.told]
        return [abs(said - (self.now - now)) for now, said in left if said is not None and now >= since]


def test_the_time_that_is_left_is_that_of_all_of_it() -> None:
    """Exact once an evaluation was seen; before that, off by what the guess of it is off in every epoch."""
    followed = Followed()
    followed.train()
    assert max(followed.errors(since=100 + 10 * BATCH + BEHIND)) < 0.06
    guess = BATCH * 3 / 3  # 30 held-out images are three batches, and an evaluation a third of the training
    assert max(followed.errors()) == pytest.approx(WAY.epochs * (BEHIND - guess), abs=0.06)
    assert [done for _, done, _ in followed.told][-1] == 44 == max(done for _, done, _ in followed.told)
    assert sorted(done for _, done, _ in followed.told) == [done for _, done, _ in followed.told]


def test_a_slow_first_batch_is_soon_forgotten() -> None:
    followed = Followed(first=60.0)
    followed.train()
    later = followed.errors(since=100 + 60 + 9 * BATCH + BEHIND + 2 * (10 * BATCH + BEHIND))
    assert max(later) < 0.5 * max(followed.errors())


def test_going_on_counts_what_is_done() -> None:
    followed = Followed(done=3)
    followed.train()
    assert min(done for _, done, _ in followed.told) == 3 * 11 + 1 and len(followed.marks) == 1


def test_an_epoch_is_a_line_with_its_figures() -> None:
    followed = Followed()
    followed.train()
    assert followed.marks[0] == "epoch 1/4: loss 0.5000, top-1 75.00 %, 5 images/s, 25 s; 75 s left"
    assert followed.marks[-1] == "epoch 4/4: loss 0.5000, top-1 75.00 %, 5 images/s, 25 s"
    details = [read_label(label).detail for label, _, _ in followed.told]
    assert details[0] == "epoch 1/4, loss 0.5000, 5 images/s"
    assert "epoch 2/4, loss 0.5000, top-1 75.00 %, evaluating" in details


def test_the_loss_is_asked_for_once_a_second_and_at_the_end() -> None:
    """Each time a GPU has to finish what it does."""
    followed = Followed()
    followed.pace.begin(1)
    for _ in range(9):
        followed.now += 0.1
        followed.pace.batch(10, followed._total)
    assert followed.asked == 1
    followed.now += 0.001
    followed.pace.batch(10, followed._total)
    assert followed.asked == 2


def test_rounding_alone_is_told_before_the_first_epoch() -> None:
    followed = Followed()
    followed.now += 3
    followed.pace.end({"epoch": 0.0, "val_loss": 0.25})
    assert followed.marks == ["epoch 0/4: held-out loss 0.2500, 3 s"] and followed.told[-1][1] == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (7500, "2 h 05 min")]
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text

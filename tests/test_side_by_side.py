"""Work side by side: as much as cores and memory hold, in order, and all of it stopped by one fault."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import targets
from edgevit import memory
from edgevit.errors import BadInput
from edgevit.pipeline import side_by_side
from edgevit.pipeline.export import CHECKING
from edgevit.pipeline.side_by_side import FREELY, STOCK, Room, Work, in_order, room
from edgevit.stage import Children
from edgevit.types import Progress, silent

GB = 1 << 30
PLENTY = Room(8, 100 * GB)
SABOTAGE = str(Path(__file__).parent / "sabotage")


@pytest.mark.parametrize(
    ("expected", "running", "fits"),
    [
        (1 * GB, (), True),
        (9 * GB, (), True),  # alone it may: there is no other way
        (1 * GB, (1 * GB,), True),
        (2 * GB, (1 * GB,), True),
        (2 * GB + 1, (1 * GB,), False),
        (0, (1 * GB, 1 * GB), False),  # no third core
    ],
)
def test_memory_and_cores_decide_who_joins(expected: int, running: tuple[int, ...], fits: bool) -> None:
    assert Room(2, 3 * GB).holds(expected, running) is fits


def test_where_nobody_knows_what_is_free_one_runs_at_a_time() -> None:
    place = room(4, GB, None, 8)
    assert place.holds(GB, ()) and not place.holds(0, (0,))


def test_large_works_stay_below_the_largest_stock_conversion_and_a_fifth() -> None:
    """The bar of B/16, 3 GB: two conversions go side by side, and no third."""
    weights = 346_284_744
    place = room(None, weights, 100 * GB, 4)
    assert place.bytes == int(1.2 * STOCK.bytes(weights)) - weights
    sizes = [targets.get(name).footprint.bytes(weights) for name in ("executorch", "tflite")]
    for one in sizes:
        assert all(place.holds(one, [other]) and not place.holds(one, [other, CHECKING.bytes(weights)]) for other in sizes)


@pytest.mark.parametrize(
    ("place", "expected", "threads"),
    [
        (Room(2, 3 * GB, 2), [GB, GB, GB], 1),
        (Room(2, 3 * GB, 2), [GB], 2),  # nothing runs beside it
        (Room(16, 3 * GB, 16), [GB] * 12, 5),  # memory holds three
        (Room(16, 2 * GB, 16), [3 * GB] * 12, 16),
        (Room(1, 3 * GB, 8), [GB, GB], 8),
        (Room(8, 3 * GB, 8), [0, 0], 4),  # of targets whose libraries are not there
        (Room(1, None, 4), [GB, GB], 4),
        (Room(8, 3 * GB, 8), [], 8),
    ],
)
def test_works_at_once_have_no_more_threads_than_there_are_cores(place: Room, expected: list[int], threads: int) -> None:
    assert place.threads(expected) == threads


def test_the_longest_begins_first_and_they_come_in_the_order_asked() -> None:
    began: list[str] = []

    def do(name: str, progress: Progress, children: Children) -> str:
        began.append(name)
        return name

    seconds = {"short": 1.0, "long": 3.0, "longer": 4.0, "another short": 1.0}
    works = [Work(name, lambda: GB, partial(do, name), length) for name, length in seconds.items()]
    assert list(in_order(works, Room(1, GB), silent)) == list(seconds)
    assert began == ["longer", "long", "short", "another short"]


def test_small_works_run_freely_and_what_is_free_is_the_end_of_it() -> None:
    assert room(None, GB // 20, 100 * GB, 4) == Room(4, FREELY, 4)
    assert room(None, GB // 20, GB, 4) == Room(4, int(0.8 * GB), 4)


def test_who_asks_for_jobs_is_held_by_memory_and_cores_alone() -> None:
    assert room(3, 4 * GB, 100 * GB, 8) == Room(3, 80 * GB, 8)
    assert room(30, 4 * GB, 100 * GB, 8).jobs == 8


def test_another_begins_once_one_expects_less() -> None:
    """Two that are too large together: the second starts beside the first's last part."""
    later, expects = threading.Event(), [GB]

    def first(progress: Progress, children: Children) -> str:
        expects[0] = 0
        progress("checking", 0, None)
        assert later.wait(30)
        return "first"

    def second(progress: Progress, children: Children) -> str:
        later.set()
        return "second"

    works = [Work("first", lambda: expects[0], first), Work("second", lambda: GB, second)]
    assert list(in_order(works, Room(2, GB), silent)) == ["first", "second"]


def _work(name: str, do: Callable[[Progress, Children], str], expected: int = GB) -> Work[str]:
    return Work(name, lambda: expected, do)


def test_two_run_at_once_and_come_in_the_order_asked() -> None:
    """The first waits for the second: one at a time, it would wait for ever."""
    second_is_done = threading.Event()

    def first(progress: Progress, children: Children) -> str:
        assert second_is_done.wait(30)
        return "first"

    def second(progress: Progress, children: Children) -> str:
        second_is_done.set()
        return "second"

    assert list(in_order([_work("a", first), _work("b", second)], PLENTY, silent)) == ["first", "second"]


def _counted(most: list[int], running: list[int], lock: threading.Lock, progress: Progress, children: Children) -> str:
    with lock:
        running[0] += 1
        most.append(running[0])
    time.sleep(0.05)
    with lock:
        running[0] -= 1
    return "done"


@pytest.mark.parametrize(("place", "at_once"), [(Room(1, 100 * GB), 1), (Room(2, 100 * GB), 2), (Room(8, 3 * GB), 3)])
def test_never_more_than_the_room_holds(place: Room, at_once: int) -> None:
    most: list[int] = []
    do = partial(_counted, most, [0], threading.Lock())
    assert list(in_order([_work(str(i), do) for i in range(6)], place, silent)) == ["done"] * 6
    assert max(most) == at_once


def test_a_measured_peak_is_asked_for_when_it_matters() -> None:
    """The first turns out to be small, so the two behind it share the room that none of them could share with it."""
    known: list[int] = []
    most: list[int] = []
    count = partial(_counted, most, [0], threading.Lock())

    def first(progress: Progress, children: Children) -> str:
        count(progress, children)
        known.append(GB)
        return "done"

    def expected() -> int:
        return known[0] if known else 2 * GB

    works = [Work("a", expected, first), Work("b", expected, count), Work("c", expected, count)]
    list(in_order(works, Room(8, 2 * GB), silent))
    assert most == [1, 1, 2]


def test_progress_is_named_and_told_by_the_first_thread_alone() -> None:
    said: list[tuple[str, threading.Thread]] = []

    def speak(progress: Progress, children: Children) -> str:
        progress("converting", 0, None)
        return "done"

    def hear(label: str, done: float, total: float | None) -> None:
        said.append((label, threading.current_thread()))

    list(in_order([_work("a", speak)], PLENTY, hear))
    assert said == [("a: converting", threading.current_thread()), ("a: ", threading.current_thread())]


def _sleep(flag: Path, how: str, progress: Progress, children: Children) -> str:
    children.run("stage_jobs:sleep", int, progress, flag=flag, how=how)
    return "never"


def _fail(flag: Path, progress: Progress, children: Children) -> str:
    while not flag.exists():
        time.sleep(0.01)
    raise BadInput("no space left on device")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("how", ["python", "native"])
def test_a_fault_that_stops_all_leaves_no_child(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, SABOTAGE])
    flag = tmp_path / "flag"
    works = [_work("a", partial(_sleep, flag, how)), _work("b", partial(_fail, flag)), _work("c", partial(_sleep, flag, how))]
    with pytest.raises(BadInput, match="no space left"):
        list(in_order(works, Room(2, 100 * GB), silent))
    assert not os.path.exists(f"/proc/{flag.read_text()}")
    assert threading.active_count() == 1 or all(t.name not in "abc" for t in threading.enumerate())


def test_no_child_starts_after_the_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, SABOTAGE])
    children = Children()
    children.stop()
    with pytest.raises(KeyboardInterrupt):
        children.run("stage_jobs:sleep", int, silent, flag=tmp_path / "flag", how="python")


def _machine(root: Path, group: str, files: dict[str, str]) -> Path:
    told = {"proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 8000000 kB\n", "proc/self/cgroup": group, **files}
    for name, text in told.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_free_memory_is_what_the_machine_has_left(tmp_path: Path) -> None:
    assert memory.available(_machine(tmp_path, "0::/\n", {})) == 8_000_000 << 10


@pytest.mark.parametrize("group", ["0::/a/b\n", "0::/../of/the/host/a\n"])
def test_a_group_above_this_one_may_leave_less(group: str, tmp_path: Path) -> None:
    """Also in a container, which sees its own limit at the root. Cached files that nobody uses are free."""
    limits = {"memory.max": "2000000\n", "memory.current": "1500000\n", "memory.stat": "anon 1000000\ninactive_file 400000\n"}
    files = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()} | {"sys/fs/cgroup/a/b/memory.max": "max\n"}
    assert memory.available(_machine(tmp_path, group, files)) == 900_000


def test_the_first_version_of_groups(tmp_path: Path) -> None:
    limits = {
        "memory.limit_in_bytes": "3000000\n", "memory.usage_in_bytes": "1000000\n", "memory.stat": "total_inactive_file 5\n",
    }  # fmt: skip
    files = {f"sys/fs/cgroup/memory/a/{name}": text for name, text in limits.items()}
    files["sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert memory.available(_machine(tmp_path, "7:cpu:/a\n4:memory:/a\n", files)) == 2_000_005


def test_nothing_is_known_without_proc(tmp_path: Path) -> None:
    assert memory.available(tmp_path) is None


def test_the_defaults_are_the_bar() -> None:
    assert side_by_side.OVER_THE_LARGEST == 1.2


def test_what_was_freed_is_given_back() -> None:
    """Blocks too small to be mapped, with one left at the end that keeps the heap from shrinking by itself."""
    program = (
        "from edgevit import memory\n"
        "size = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "blocks = [bytearray(50_000) for _ in range(4000)]; last = bytearray(50_000); blocks.clear(); kept = size()\n"
        "memory.trim(); print(kept - size())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout) > 100_000_000


@pytest.mark.parametrize("written", [False, True])
def test_what_was_read_of_weights_is_given_back(written: bool, tmp_path: Path) -> None:
    """And read again; but never what was written into them: that stands nowhere else."""
    (tmp_path / "model.safetensors").write_bytes(b"\1" * 50_000_000)
    program = (
        "import mmap, sys; from edgevit import memory\n"
        "size = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "file = open(sys.argv[1], 'rb'); there = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY); sum(there[::4096])\n"
        "if sys.argv[2] == 'True': there[0] = 7\n"
        "kept = size(); memory.trim(); print(kept - size(), there[0], sum(there[::4096]))"
    )
    asked = [sys.executable, "-c", program, tmp_path / "model.safetensors", str(written)]
    back, first, total = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    pages = -(-50_000_000 // 4096)
    assert (first, total) == (("7", str(pages + 6)) if written else ("1", str(pages)))
    assert int(back) < 10_000_000 if written else int(back) > 40_000_000

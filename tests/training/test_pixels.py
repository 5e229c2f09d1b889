"""Pixels of training images: the same wherever they are held or kept, and decoded once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgevit.data import folder
from edgevit.data.dataset import Images
from edgevit.errors import BadInput, DamagedFile
from edgevit.training import ahead, decoded, pixels
from edgevit.training.decoded import FILE, MARK, READ, OnDisk
from edgevit.training.pixels import Pixels
from edgevit.types import Preprocess, silent

PREPROCESS = Preprocess((6, 5), (6, 5), interpolation="nearest")
COUNT = 30
BAD = (4, 17)


class Seen:
    """Images that tell how often each was decoded."""

    def __init__(self, images: Images) -> None:
        self.plain, self.opened = images, list[int]()
        self.images = replace(images, open=self._open)
        self._inner, self._lock = images.open, threading.Lock()

    def _open(self, i: int) -> Image.Image:
        with self._lock:
            self.opened.append(i)
        return self._inner(i)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(root / f"{i:02d}.png")
    return sorted(root.glob("*.png"))


@pytest.fixture
def seen(files: list[Path]) -> Seen:
    return Seen(folder.of_files([file.name for file in files], np.arange(COUNT) % 3, files))


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """All that is left is the cache, in this folder."""
    monkeypatch.setattr(pixels, "HELD_BYTES", 0)
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pixels"


def _all(found: Pixels, chunks: Sequence[torch.Tensor] | None = None) -> tuple[np.ndarray, np.ndarray]:
    chunks = torch.arange(len(found)).split(7) if chunks is None else chunks
    batches = list(found.batches(chunks))
    return torch.cat([p for p, _ in batches]).numpy(), torch.cat([c for _, c in batches]).numpy()


def _truth(images: Images, numbers: Sequence[int] = range(COUNT)) -> np.ndarray:
    return np.stack([np.asarray(images.open(i).convert("RGB")) for i in numbers])


def _sharded(images: Images) -> Images:
    return replace(images, groups=np.arange(len(images)) // 8)


def _some_bad(images: Images) -> Images:
    def opened(i: int) -> Image.Image:
        if i in BAD:
            raise DamagedFile(f"cannot decode {i:02d}.png")
        return inner(i)

    inner = images.open
    return replace(images, open=opened)


WAYS = ("held", "in memory", "on disk", "not at all")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Where pixels are between two epochs."""
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "cache"))
    if request.param != "held":
        monkeypatch.setattr(pixels, "HELD_BYTES", 0)
    if request.param not in ("held", "in memory"):
        monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    if request.param == "not at all":
        monkeypatch.setenv("EDGEVIT_PIXELS_GB", "0")
    return request.param


def test_the_same_pixels_whatever_the_way(way: str, seen: Seen) -> None:
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    assert len(found) == COUNT and found.groups is None and not found.skipped
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(3))
    for chunks in (order.split(4), [order[:0], order[:9], order[:0], order[9:]], order.flip(0).split(30)):
        batch, classes = _all(found, chunks)
        chosen = torch.cat(list(chunks)).numpy()
        assert np.array_equal(batch, _truth(seen.images)[chosen]) and np.array_equal(classes, chosen % 3)
    (batch, classes), *_ = found.batches([order[:3]])
    assert batch.dtype == torch.uint8 and classes.dtype == torch.int64 and batch.shape == (3, 6, 5, 3)
    assert list(found.batches([])) == []


def test_each_chunk_is_a_batch_and_may_be_empty(way: str, seen: Seen) -> None:
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    chunks = [torch.tensor([1, 2]), torch.tensor([], dtype=torch.int64), torch.tensor([0])]
    assert [(len(p), len(c)) for p, c in found.batches(chunks)] == [(2, 2), (0, 0), (1, 1)]


def test_decoded_once_where_they_are_kept(way: str, seen: Seen) -> None:
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    assert sorted(seen.opened) == list(range(COUNT))
    for _ in range(2):
        _all(found)
    assert len(seen.opened) == (3 if way == "not at all" else 1) * COUNT


@pytest.mark.parametrize("sharded", [False, True])
def test_a_bad_image_is_refused_by_name(way: str, seen: Seen, sharded: bool) -> None:
    """At the start; one in a shard when it is due."""
    images = _some_bad(_sharded(seen.images) if sharded else seen.images)
    if not sharded:
        with pytest.raises(DamagedFile, match=r"cannot decode (04|17)\.png") as caught:
            Pixels(images, PREPROCESS, "refuse", silent)
    else:
        found = Pixels(images, PREPROCESS, "refuse", silent)
        assert seen.opened == []
        assert len(list(found.batches(torch.arange(4).split(2)))) == 2
        with pytest.raises(DamagedFile, match=r"cannot decode 04\.png") as caught:
            list(found.batches([torch.tensor([3, 4])]))
    assert "--on-bad-image skip" in caught.value.hint


@pytest.mark.parametrize("sharded", [False, True])
def test_or_left_out_and_named(way: str, seen: Seen, sharded: bool) -> None:
    images = _some_bad(_sharded(seen.images) if sharded else seen.images)
    found = Pixels(images, PREPROCESS, "skip", silent)
    good = [i for i in range(COUNT) if i not in BAD]
    assert len(found) == (COUNT if sharded else len(good))
    for _ in range(2):
        batch, classes = _all(found)
        assert np.array_equal(batch, _truth(seen.images, good)) and classes.tolist() == [i % 3 for i in good]
        assert found.skipped == ["04.png", "17.png"]


@pytest.mark.parametrize("sharded", [False, True])
def test_not_one_readable_image(way: str, seen: Seen, sharded: bool) -> None:
    images = _some_bad(seen.images).take(BAD)
    if sharded:
        assert [len(c) for _, c in Pixels(_sharded(images), PREPROCESS, "skip", silent).batches([torch.arange(2)])] == [0]
    else:
        with pytest.raises(BadInput, match="not one image could be read"):
            Pixels(images, PREPROCESS, "skip", silent)


def test_another_error_is_none_of_the_image_s(way: str, seen: Seen) -> None:
    def broken(i: int) -> Image.Image:
        raise ZeroDivisionError

    found = Pixels(replace(_sharded(seen.images), open=broken), PREPROCESS, "skip", silent)
    with pytest.raises(ZeroDivisionError):
        list(found.batches([torch.arange(3)]))


def test_few_batches_ahead_and_no_thread_is_left(seen: Seen, no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    found = Pixels(_sharded(seen.images), PREPROCESS, "refuse", silent)
    begun: list[int] = []
    begin = ahead.Ahead._begun
    monkeypatch.setattr(ahead.Ahead, "_begun", lambda *given: begun.append(len(given[1])) or begin(*given))
    batches = found.batches(torch.arange(COUNT).split(2))
    next(batches)
    assert begun == [2] * (ahead.BATCHES + 1)
    next(batches)
    assert begun == [2] * (ahead.BATCHES + 2)
    batches.close()
    assert threading.active_count() == before


def test_waiting_is_counted(way: str, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    monkeypatch.setattr(pixels.time, "monotonic", lambda: next(clock))
    assert found.waited == 0.0
    _all(found, torch.arange(10).split(5))
    assert found.waited == 3  # two batches, and the end


def test_another_run_finds_them_on_the_disk(seen: Seen, no_memory: Path) -> None:
    Pixels(seen.images, PREPROCESS, "refuse", silent)
    seen.opened.clear()
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    assert found.where.startswith(str(no_memory)) and np.array_equal(_all(found)[0], _truth(seen.plain))
    assert seen.opened == []


def test_what_an_earlier_run_left_out_is_looked_at_again_and_nothing_else(seen: Seen, no_memory: Path) -> None:
    images = _some_bad(seen.images)
    Pixels(images, PREPROCESS, "skip", silent)
    seen.opened.clear()
    again = Pixels(images, PREPROCESS, "skip", silent)
    assert again.skipped == ["04.png", "17.png"] and len(again) == COUNT - 2 and seen.opened == []
    with pytest.raises(DamagedFile, match="cannot decode"):
        Pixels(images, PREPROCESS, "refuse", silent)
    assert len(Pixels(seen.images, PREPROCESS, "refuse", silent)) == COUNT and sorted(seen.opened) == sorted(BAD)


@pytest.mark.parametrize(
    "other",
    [
        {"resize": (8, 8), "crop": (6, 5)},
        {"interpolation": "bicubic"},
        {"aspect": "squash"},
        {"resize": (5, 5), "crop": (5, 5)},
    ],
)
def test_other_steps_are_other_pixels(other: dict, seen: Seen, no_memory: Path) -> None:
    Pixels(seen.images, PREPROCESS, "refuse", silent)
    seen.opened.clear()
    Pixels(seen.images, replace(PREPROCESS, **other), "refuse", silent)
    assert len(seen.opened) == COUNT


def test_other_means_are_the_same_pixels(seen: Seen, no_memory: Path) -> None:
    Pixels(seen.images, PREPROCESS, "refuse", silent)
    seen.opened.clear()
    Pixels(seen.images, replace(PREPROCESS, mean=(0.1, 0.2, 0.3)), "refuse", silent)
    assert seen.opened == []


def test_a_changed_image_is_another_set(tmp_path: Path, files: list[Path], no_memory: Path) -> None:
    copies = [tmp_path / file.name for file in files]
    for copy, file in zip(copies, files, strict=True):
        copy.write_bytes(file.read_bytes())
    images = folder.of_files([file.name for file in files], np.zeros(COUNT, int), copies)
    Pixels(images, PREPROCESS, "refuse", silent)
    Image.new("RGB", (5, 6), (1, 2, 3)).save(copies[9])
    assert (_all(Pixels(images, PREPROCESS, "refuse", silent))[0][9] == (1, 2, 3)).all()


def test_images_that_cannot_be_told_apart_are_not_kept(seen: Seen, no_memory: Path) -> None:
    found = Pixels(replace(seen.images, stamp=None), PREPROCESS, "refuse", silent)
    assert found.where == "" and not no_memory.exists()


@pytest.mark.parametrize("damage", ["cut", "emptied", "zeros", "swapped", "no marker", "marker", "marker of others"])
def test_damage_is_found_and_made_good(damage: str, seen: Seen, no_memory: Path) -> None:
    first = Pixels(seen.images, PREPROCESS, "refuse", silent)
    place = Path(first.where)
    content, size = (place / FILE).read_bytes(), MARK + 6 * 5 * 3
    changed = {
        "cut": content[: 12 * size + 50],
        "emptied": b"",
        "zeros": content[: 3 * size] + bytes(2 * size) + content[5 * size :],
        "swapped": content[size : 2 * size] + content[:size] + content[2 * size :],
    }
    (place / FILE).write_bytes(changed.get(damage, content))
    if damage == "no marker":
        (place / READ).unlink()
    if damage.startswith("marker"):
        (place / READ).write_text("[900]" if damage == "marker of others" else "[1, {")
    for found in (first, Pixels(seen.images, PREPROCESS, "refuse", silent)):
        assert np.array_equal(_all(found)[0], _truth(seen.images))
    assert (place / FILE).read_bytes() == content


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, COUNT * (MARK + 90) - 1), by=st.integers(1, 255), length=st.integers(1, 300))
def test_no_byte_can_be_changed_unseen(at: int, by: int, length: int, tmp_path: Path) -> None:
    kept, rows = OnDisk(tmp_path), np.random.default_rng(1).integers(0, 256, (COUNT, 6, 5, 3), dtype=np.uint8)
    for number, row in enumerate(rows):
        kept.keep(number, row)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[at : at + length] = bytes(byte ^ by for byte in content[at : at + length])
    (tmp_path / FILE).write_bytes(content)
    row = np.empty((6, 5, 3), np.uint8)
    there = [number for number in range(COUNT) if kept.take(number, row) and np.array_equal(row, rows[number])]
    size = MARK + 90
    assert there == [n for n in range(COUNT) if (n + 1) * size <= at or n * size >= min(at + length, len(content))]


def test_two_that_write_at_once_write_the_same(seen: Seen, no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = _sharded(seen.images)
    one, two = (Pixels(images, PREPROCESS, "refuse", silent) for _ in range(2))
    assert one.where == two.where
    order = torch.arange(COUNT)
    pairs = zip(one.batches(order.split(4)), two.batches(order.flip(0).split(4)), strict=True)
    found = [(a[0].numpy(), b[0].numpy()) for a, b in pairs]
    assert np.array_equal(np.concatenate([a for a, _ in found]), _truth(seen.plain))
    assert np.array_equal(np.concatenate([b for _, b in found])[::-1], _truth(seen.plain))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from edgevit.training.decoded import OnDisk
kept = OnDisk(Path(sys.argv[1]))
for _ in range(1 << 30):
    for number in np.random.default_rng().permutation(40).tolist():
        kept.keep(number, np.full((300, 300, 3), number, np.uint8))
        print(number, flush=True)
"""


def test_two_processes_that_are_killed_while_they_write(tmp_path: Path) -> None:
    """An image is there with its own pixels, or it is not there."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout
        for _ in range(25):
            writer.stdout.readline()
    for writer in writers:
        writer.kill()
        writer.communicate()
    kept, row = OnDisk(tmp_path), np.empty((300, 300, 3), np.uint8)
    there = [number for number in range(40) if kept.take(number, row) and ((row == number).all() or pytest.fail(str(number)))]
    assert len(there) >= 20


def test_a_full_disk_stops_nobody(seen: Seen, no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    assert np.array_equal(_all(found)[0], _truth(seen.images)) and (Path(found.where) / FILE).stat().st_size == 0


def test_half_a_write_is_none(seen: Seen, no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write: Callable[[int, bytes, int], int] = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: write(file, content[: len(content) // 2], at))
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    assert np.array_equal(_all(found)[0], _truth(seen.images))


def test_what_is_over_its_limit_is_not_kept_and_older_ones_go(
    seen: Seen, no_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = COUNT * (MARK + 90)
    monkeypatch.setenv("EDGEVIT_PIXELS_GB", str((size - 1) / 1e9))
    assert Pixels(seen.images, PREPROCESS, "refuse", silent).where == ""
    monkeypatch.setenv("EDGEVIT_PIXELS_GB", str((size + 20) / 1e9))
    old = Path(Pixels(seen.images, PREPROCESS, "refuse", silent).where)
    (old / READ).unlink()
    new = Path(Pixels(seen.images, replace(PREPROCESS, aspect="squash"), "refuse", silent).where)
    assert not old.exists() and new.exists()
    monkeypatch.setenv("EDGEVIT_PIXELS_GB", "much")
    with pytest.raises(BadInput, match="EDGEVIT_PIXELS_GB=much"):
        Pixels(seen.images, PREPROCESS, "refuse", silent)


def test_most_of_a_disk_is_left_to_others(seen: Seen, no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = type("Usage", (), {"free": COUNT * 98 * 2 - 2})
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda _: free)
    assert Pixels(seen.images, PREPROCESS, "refuse", silent).where == ""


@pytest.fixture(params=["nowhere", "of all"])
def no_place(request: pytest.FixtureRequest, no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    no_memory.parent.mkdir()
    if request.param == "nowhere":
        no_memory.write_text("a file where the folder would be")
    else:
        no_memory.mkdir()
        no_memory.chmod(0o777)
    yield


def test_without_a_cache_it_goes_on(no_place: None, seen: Seen) -> None:
    found = Pixels(seen.images, PREPROCESS, "refuse", silent)
    assert found.where == "" and np.array_equal(_all(found)[0], _truth(seen.images))

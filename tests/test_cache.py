"""The cache: what it gives back is what was put in, or nothing; and nobody fails for the want of it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit import cache as caches
from edgevit.cache import Cache, Entry
from edgevit.errors import BadInput
from edgevit.folder import hashes

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> Cache:
    (tmp_path / "stages").mkdir()
    return Cache(tmp_path / "stages", 10_000, said.append)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What a stage left: a file, and a folder as Core ML's packages are."""
    (tmp_path / "made" / "package").mkdir(parents=True)
    (tmp_path / "made" / "model").write_bytes(b"weights" * 100)
    (tmp_path / "made" / "package" / "model").write_bytes(b"inner")
    return tmp_path / "made"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def _entry(source: Path) -> Entry:
    return Entry("convert", {"file": "model"}, 1.5, 7, hashes(source))


def test_what_was_kept_comes_back(cache: Cache, source: Path, into: Path, said: list[str]) -> None:
    cache.keep(ONE, _entry(source), source)
    assert cache.take(ONE, into) == _entry(source) and hashes(into) == hashes(source)
    assert said == [] and os.listdir(cache.stages) == [ONE]


def test_what_was_not_kept_does_not(cache: Cache, source: Path, into: Path, said: list[str]) -> None:
    cache.keep(ONE, _entry(source), source)
    assert cache.take(OTHER, into) is None and said == [] and os.listdir(into) == []


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _out_of_its_folder(path: Path) -> None:
    """A hostile entry whose own hash is in order."""
    text = (path / caches.RECORD).read_text().replace('"model"', '"../../../../outside"')
    (path / caches.RECORD).write_text(text)
    (path / caches.SUM).write_text(caches.folder.sha256(path / caches.RECORD))


def _linked(path: Path) -> None:
    (path / caches.FILES / "model").rename(path / "elsewhere")
    (path / caches.FILES / "model").symlink_to(path / "elsewhere")


def _emptied(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def _piped(path: Path) -> None:
    (path / caches.RECORD).unlink()
    os.mkfifo(path / caches.RECORD)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a changed file": lambda path: _flip(path / caches.FILES / "model"),
    "a changed record": lambda path: _flip(path / caches.RECORD),
    "a missing file": lambda path: (path / caches.FILES / "model").unlink(),
    "a missing record": lambda path: (path / caches.RECORD).unlink(),
    "an empty folder": _emptied,
    "a link": _linked,
    "a path out of its folder": _out_of_its_folder,
    "a pipe": _piped,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_entry_is_said_and_gone(
    damage: Callable[[Path], None], cache: Cache, source: Path, into: Path, said: list[str]
) -> None:
    cache.keep(ONE, _entry(source), source)
    damage(cache.stages / ONE)
    assert cache.take(ONE, into) is None and os.listdir(into) == []
    assert said == [f"damaged in the cache, made again: {cache.stages / ONE}"] and os.listdir(cache.stages) == []
    cache.keep(ONE, _entry(source), source)
    assert cache.take(ONE, into) == _entry(source)


def test_the_least_recently_used_goes_first(cache: Cache, source: Path, into: Path) -> None:
    """Each is about 1,200 bytes, and there is room for two: the one that was used stays, though it is the oldest."""
    small = Cache(cache.stages, 3_000, cache.say)
    for age, name in ((30, ONE), (20, OTHER)):
        small.keep(name, _entry(source), source)
        os.utime(small.stages / name, (0, age))
    assert small.take(ONE, into)
    small.keep("3" * 64, _entry(source), source)
    assert sorted(os.listdir(small.stages)) == [ONE, "3" * 64]


def test_what_was_abandoned_half_written_goes_too(cache: Cache, source: Path) -> None:
    for name, age in ((".old", 0), (".new", None)):
        (cache.stages / name / "files").mkdir(parents=True)
        if age is not None:
            os.utime(cache.stages / name, (0, age))
    cache.keep(ONE, _entry(source), source)
    assert sorted(os.listdir(cache.stages)) == [".new", ONE]


def _keep_and_take(place: Path, source: Path, into: Path) -> None:
    into.mkdir()
    said: list[str] = []
    cache = Cache(place, 1_500, said.append)
    for _ in range(100):
        for name in (ONE, OTHER):
            cache.keep(name, _entry(source), source)
            found = cache.take(name, into)
            assert found is None or (found == _entry(source) and hashes(into) == hashes(source))
            caches._empty(into)
    assert said == [], said[:3]


def test_processes_at_once_see_whole_entries_or_none(cache: Cache, source: Path, tmp_path: Path) -> None:
    """All make the same two, and the limit has each of them removed all the time."""
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_keep_and_take, args=(cache.stages, source, tmp_path / f"into{i}")) for i in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0, 0]


def test_a_cache_that_cannot_be_written_stops_nobody(
    cache: Cache, source: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    cache.keep(ONE, _entry(source), source)
    assert said == [f"not kept in the cache: no space left on device: {cache.stages}"] and os.listdir(cache.stages) == []


def test_a_full_disk_is_no_damage(
    cache: Cache, source: Path, into: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep(ONE, _entry(source), source)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        cache.take(ONE, into)
    assert said == [] and os.listdir(cache.stages) == [ONE]


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"EDGEVIT_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/edgevit"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/c"}, "/c/.cache/edgevit"),
        ({"HOME": "/c"}, "/c/.cache/edgevit"),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_where_it_is(environment: dict[str, str], place: str | None) -> None:
    assert caches.place(environment) == (Path(place) if place else None)


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_is_a_number(text: str) -> None:
    with pytest.raises(BadInput, match="EDGEVIT_CACHE_GB"):
        caches.limit_bytes({"EDGEVIT_CACHE_GB": text})
    assert caches.limit_bytes({"EDGEVIT_CACHE_GB": "0.5"}) == 500_000_000 and caches.limit_bytes({}) == 5_000_000_000


def test_a_place_that_others_may_write_is_not_used(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "c"))
    assert caches.opened(said.append) and (tmp_path / "c" / "stages").stat().st_mode & 0o777 == 0o700 and said == []
    (tmp_path / "c" / "stages").chmod(0o777)
    assert caches.opened(said.append) is None and "others may write there" in said[0]


def test_the_same_trouble_is_told_once(source: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "c"))
    cache = caches.opened(said.append)
    assert cache
    shutil.rmtree(cache.stages)
    for name in (ONE, OTHER):
        cache.keep(name, _entry(source), source)
    assert len(said) == 1 and said[0].startswith("not kept in the cache: no such file or directory")


def test_a_key_is_of_the_values_and_not_of_their_order() -> None:
    assert caches.key({"a": 1, "b": Path("x")}) == caches.key({"b": Path("x"), "a": 1}) != caches.key({"a": 1, "b": Path("y")})


def test_clearing_leaves_what_is_not_ours(tmp_path: Path, cache: Cache, source: Path) -> None:
    cache.keep(ONE, _entry(source), source)
    assert caches.clear(tmp_path)[0] == 1 and not cache.stages.exists() and source.exists()
    assert caches.clear(tmp_path) == (0, 0)

"""What is kept to be used again: in folders of this user's alone, each within its limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgevit import cache, kept
from edgevit.errors import BadInput


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path))
    return tmp_path


def _entry(path: Path, size: int, used: float) -> Path:
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def test_room_is_made_by_letting_go_of_the_longest_unused(place: Path) -> None:
    old, newer, newest = (_entry(place / name, 100, used) for name, used in (("b", 1), ("c", 2), ("a", 3)))
    assert kept.make_room(place, 100, 400) and old.exists()
    assert kept.make_room(place, 150, 400) and not old.exists() and newer.exists()
    kept.used(newer)
    assert kept.make_room(place, 300, 400) and newer.exists() and not newest.exists()


def test_what_can_have_no_room_costs_nobody_any(place: Path) -> None:
    old = _entry(place / "a", 100, 1)
    assert not kept.make_room(place, 500, 400) and old.exists()
    assert kept.make_room(place, 400, 400, stays=(old,)) and old.exists()


def test_a_folder_counts_as_one_and_goes_as_one(place: Path) -> None:
    (place / "a" / "b").mkdir(parents=True)
    _entry(place / "a" / "b" / "c", 100, 1)
    assert [size for *_, size in kept.entries(place)] == [100]
    assert kept.make_room(place, 50, 50) and not (place / "a").exists()


def test_nothing_is_kept_where_others_may_write(place: Path) -> None:
    found = kept.own("pixels")
    assert found == place / "pixels" and found.stat().st_mode & 0o077 == 0
    found.chmod(0o777)
    assert kept.own("pixels") is None
    (place / "shards").write_text("")
    assert kept.own("shards") is None


def test_without_a_home_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EDGEVIT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert kept.own("pixels") is None


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf", "1e9"])
def test_a_limit_is_a_number_of_gigabytes(text: str) -> None:
    with pytest.raises(BadInput, match="not a size in GB: SOME_GB"):
        kept.limit("SOME_GB", 5, {"SOME_GB": text})
    assert kept.limit("SOME_GB", 5, {}) == 5_000_000_000 and kept.limit("SOME_GB", 5, {"SOME_GB": "0"}) == 0


def test_the_cache_counts_and_clears_all_of_it_and_nothing_else(place: Path) -> None:
    for name in kept.FOLDERS:
        (place / name).mkdir()
    _entry(place / "pixels" / "a", 10, 1)
    _entry(place / "shards" / "b", 20, 1)
    _entry(place / "mine", 40, 1)
    assert cache.held(place) == (2, 30)
    assert cache.clear(place) == (2, 30)
    assert [path.name for path in place.iterdir()] == ["mine"]
    (place / "shards").symlink_to(place)
    with pytest.raises(BadInput, match="a link"):
        cache.clear(place)
    assert (place / "mine").exists()

"""A folder is written whole or not at all, whatever ends the writing, and none that is not edgevit's is ever replaced."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgevit import folder
from edgevit.errors import BadInput, DamagedFile

MARKER = "mark.json"


def _contents(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def _write(path: Path, text: str, force: bool = False) -> None:
    with folder.written_whole(path, MARKER, force) as partial:
        (partial / MARKER).write_text(text)
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text(text * 1000)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder that edgevit made."""
    _write(tmp_path / "place" / "out", "old")
    return tmp_path / "place" / "out"


def test_appears_at_the_end_and_alone(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b" / "out"
    with folder.written_whole(out, MARKER) as partial:
        (partial / MARKER).write_text("new")
        assert not out.exists() and partial.parent == out.parent
    assert _contents(out) == {MARKER: b"new"}
    assert os.listdir(out.parent) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_inside_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), folder.written_whole(tmp_path / "out", MARKER) as partial:
        (partial / MARKER).write_text("new")
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_inside_leaves_the_old_one(old: Path, error: type[BaseException]) -> None:
    before = _contents(old)
    with pytest.raises(error), folder.written_whole(old, MARKER, force=True) as partial:
        (partial / MARKER).write_text("new")
        raise error
    assert _contents(old) == before and os.listdir(old.parent) == ["out"]


def test_replaces_only_with_force(old: Path) -> None:
    before = _contents(old)
    with pytest.raises(BadInput, match="already exists") as caught:
        _write(old, "new")
    assert "--force" in caught.value.hint and _contents(old) == before
    _write(old, "new", force=True)
    assert _contents(old)[MARKER] == b"new" and os.listdir(old.parent) == ["out"]


def test_never_replaces_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(BadInput, match=MARKER) as caught:
        _write(tmp_path / "thesis", "new", force=True)
    assert "edgevit did not make it" in caught.value.hint
    assert _contents(tmp_path / "thesis") == {"chapter.txt": b"years of work"} and os.listdir(tmp_path) == ["thesis"]


def test_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _write(tmp_path / "out", "new")
    assert _contents(tmp_path / "out")[MARKER] == b"new"


@pytest.mark.parametrize("force", [False, True])
def test_refuses_a_file_in_its_place(tmp_path: Path, force: bool) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BadInput, match="not a folder"):
        _write(tmp_path / "out", "new", force)
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.parametrize("force", [False, True])
def test_refuses_a_link_to_nowhere(tmp_path: Path, force: bool) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    with pytest.raises(BadInput):
        _write(tmp_path / "out", "new", force)
    assert os.readlink(tmp_path / "out") == str(tmp_path / "gone") and os.listdir(tmp_path) == ["out"]


def test_writes_where_a_link_leads(old: Path, tmp_path: Path) -> None:
    """`runs/latest` may be a link to a folder elsewhere, perhaps on another disk: the link stays, what it means is replaced."""
    link = tmp_path / "latest"
    link.symlink_to(old)
    with pytest.raises(BadInput, match="already exists"):
        _write(link, "new")
    _write(link, "new", force=True)
    assert link.is_symlink() and _contents(old)[MARKER] == b"new"
    assert sorted(os.listdir(tmp_path)) == ["latest", "place"] and os.listdir(old.parent) == ["out"]


def test_writes_into_the_empty_folder_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "latest").symlink_to("real")
    _write(tmp_path / "latest", "new")
    assert (tmp_path / "latest").is_symlink() and _contents(tmp_path / "real")[MARKER] == b"new"


def test_there_is_always_one_whole_folder_while_it_is_replaced(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaced in one step: no removal ever finds the name without a whole folder behind it."""
    seen = []
    remove = shutil.rmtree

    def watched(path: Path, *args: object, **kwargs: object) -> None:
        seen.append((old / MARKER).read_text())
        remove(path, *args, **kwargs)

    monkeypatch.setattr(shutil, "rmtree", watched)
    move = os.replace

    def moved(what: Path, to: Path) -> None:
        assert to != old, "two renames where one exchange would do"
        move(what, to)

    monkeypatch.setattr(os, "replace", moved)
    if not sys.platform.startswith(("linux", "darwin")):
        pytest.skip("no exchange of two names on this system")
    _write(old, "new", force=True)
    assert seen and seen[-1] == "new"


def test_replaces_where_names_cannot_be_exchanged(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_exchange", lambda *_: False)
    _write(old, "new", force=True)
    assert _contents(old)[MARKER] == b"new" and os.listdir(old.parent) == ["out"]


def test_exchange_swaps(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    if not folder._exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange two names")
    assert [(tmp_path / name / "file").read_text() for name in "ab"] == ["b", "a"]


WRITER = """
import pathlib, sys, time
from edgevit import folder
with folder.written_whole(pathlib.Path(sys.argv[1]), "mark.json", force=True) as partial:
    (partial / "mark.json").write_text("half of")
    print("ready", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def _writer(out: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the midst of writing `out`."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(out)], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout and child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def test_a_killed_writer_leaves_the_old_one_and_the_next_cleans_up(old: Path) -> None:
    before = _contents(old)
    with _writer(old) as child:
        child.kill()
        child.wait(30)
        assert _contents(old) == before and len(os.listdir(old.parent)) == 2
    _write(old, "new", force=True)
    assert _contents(old)[MARKER] == b"new" and os.listdir(old.parent) == ["out"]


def test_a_living_writer_is_left_alone(old: Path) -> None:
    with _writer(old):
        _write(old, "new", force=True)
        assert _contents(old)[MARKER] == b"new"
        (theirs,) = (name for name in os.listdir(old.parent) if name != "out")
        assert _contents(old.parent / theirs) == {MARKER: b"half of"}


def test_ctrl_c_of_a_writer_cleans_up_at_once(old: Path) -> None:
    before = _contents(old)
    with _writer(old) as child:
        child.send_signal(signal.SIGINT)
        child.wait(30)
    assert _contents(old) == before and os.listdir(old.parent) == ["out"]


@pytest.mark.parametrize("name", ["run[1]", "out*", "a?"])
def test_cleaning_up_takes_a_name_as_it_is(tmp_path: Path, name: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(30)
    for kind in ("partial", "previous"):
        (tmp_path / f".{name}.{child.pid}.{kind}").mkdir()
    (tmp_path / f".outer.{child.pid}.partial").mkdir()
    _write(tmp_path / name, "new")
    assert sorted(os.listdir(tmp_path)) == sorted([name, f".outer.{child.pid}.partial"])


def test_the_folder_before_stays_where_there_is_no_newer_one(tmp_path: Path) -> None:
    """Where names cannot be exchanged, a kill between two renames leaves only that."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(30)
    before = tmp_path / f".out.{child.pid}.previous"
    before.mkdir()
    with pytest.raises(RuntimeError), folder.written_whole(tmp_path / "out", MARKER):
        raise RuntimeError
    assert os.listdir(tmp_path) == [before.name]


def test_cleaning_up_spares_similar_names(tmp_path: Path) -> None:
    spared = [".out.notes.partial", ".outer.1.partial", f".out.{os.getppid()}.partial", "out.partial", ".out.99.partial.txt"]
    for name in spared:
        (tmp_path / name).mkdir()
    _write(tmp_path / "out", "new")
    assert sorted(os.listdir(tmp_path)) == sorted([*spared, "out"])


def test_below_a_file_there_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(BadInput, match=f"not a folder: {tmp_path / 'file'}"):
        _write(tmp_path / "file" / "out", "new")
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    with pytest.raises(BadInput, match=r"not writable: .*shut") as caught:
        _write(tmp_path / "shut" / "out", "new")
    assert caught.value.hint and os.listdir(tmp_path / "shut") == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small file system of its own, mounted with the given options; skips where that is not allowed."""
    place = tmp_path / "mounted"
    place.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a file system may not be mounted here")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def test_a_disk_that_may_not_be_written(mounted: Callable[[str], Path]) -> None:
    with pytest.raises(BadInput, match=r"not writable: .*mounted") as caught:
        _write(mounted("ro,size=1m") / "out" / "deeper", "new")
    assert "write" in caught.value.hint


def test_a_full_disk_leaves_the_old_one(mounted: Callable[[str], Path]) -> None:
    out = mounted("size=1m") / "out"
    _write(out, "old")
    before = _contents(out)
    with pytest.raises(BadInput, match="no space left") as caught, folder.written_whole(out, MARKER, force=True) as partial:
        (partial / MARKER).write_bytes(bytes(2 << 20))
    assert "free some space" in caught.value.hint
    assert _contents(out) == before and os.listdir(out.parent) == ["out"]


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """The same with a limit on the size of files, which needs no right to mount."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(BadInput, match="file too large") as caught, folder.written_whole(tmp_path / "out", MARKER) as partial:
            (partial / MARKER).write_bytes(bytes(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "larger" in caught.value.hint or "large" in caught.value.hint
    assert os.listdir(tmp_path) == []


def test_an_error_while_the_name_changes_leaves_the_old_one(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bool:
        raise OSError(errno.EIO, "input/output error", str(old))

    before = _contents(old)
    monkeypatch.setattr(folder, "_exchange", fails)
    with pytest.raises(BadInput, match="input/output error"):
        _write(old, "new", force=True)
    assert _contents(old) == before and os.listdir(old.parent) == ["out"]


def test_files_appear_together_beside_others(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RuntimeError), folder.files_written_whole(tmp_path) as partial:
        (partial / "report.html").write_text("half of")
        raise RuntimeError
    assert _contents(tmp_path) == {"report.html": b"old", "mine.txt": b"mine"}
    with folder.files_written_whole(tmp_path) as partial:
        (partial / "report.html").write_text("new")
        (partial / "report.md").write_text("new")
    assert _contents(tmp_path) == {"report.html": b"new", "report.md": b"new", "mine.txt": b"mine"}
    assert not any(name.startswith(".") for name in os.listdir(tmp_path))


def test_hash_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_bytes(b"abc")
    (tmp_path / "a").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert folder.sha256(tmp_path / "a") == empty
    assert folder.hashes(tmp_path) == {"a": empty, "b/file": abc}
    assert folder.hashes(tmp_path, leave_out=("a",)) == {"b/file": abc}
    before = folder.sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "c")
    assert folder.sha256(tmp_path) != before, "a name is a part of what a folder holds"
    assert folder.size(tmp_path) == 3 and folder.size(tmp_path / "b" / "file") == 3


@pytest.mark.parametrize("to", ["file", "/etc", "gone"])
def test_a_link_has_no_hash(tmp_path: Path, to: str) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(to)
    with pytest.raises(DamagedFile, match="symbolic link"):
        folder.hashes(tmp_path)


def test_two_writers_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    """Each writes beside the other; whoever ends last is what stands."""
    program = WRITER.replace("time.sleep(600)", 'sys.stdin.readline(); (partial / "who").write_text(sys.argv[2])')
    arguments = [sys.executable, "-c", program, str(tmp_path / "out")]
    writers = [
        subprocess.Popen([*arguments, who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for who in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=60)
        assert writer.returncode == 0
    deadline = time.monotonic() + 5
    while len(os.listdir(tmp_path)) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert os.listdir(tmp_path) == ["out"] and _contents(tmp_path / "out") == {MARKER: b"half of", "who": b"two"}

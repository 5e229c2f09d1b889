"""Archives by their headers: what tarfile writes is found where it lies, and what strangers write to do harm is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevit.data.shards_tar import BLOCK, LARGEST, members
from edgevit.errors import DamagedFile

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def _member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def _archive(path: Path, *found: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for member, content in found:
            archive.addfile(member, io.BytesIO(content))
    return path


def _read(path: Path) -> list[tuple[str, bytes]]:
    content = path.read_bytes()
    return [(member.name, content[member.offset : member.offset + member.size]) for member in members(path)]


NAMES = st.text("abcxyz0189_-äß漢", min_size=1, max_size=120)
CHANGES = st.lists(st.tuples(st.integers(0, 10_239), st.integers(0, 255)), min_size=1, max_size=8)
CONTENTS = st.one_of(st.binary(max_size=40), st.integers(0, 1500).map(lambda n: bytes(range(256)) * (n // 256) + bytes(n % 256)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.tuples(NAMES, CONTENTS), max_size=5), form=st.sampled_from(FORMATS[1:]), folders=st.booleans())
def test_what_tarfile_writes_is_found_where_it_lies(
    files: list[tuple[str, bytes]], form: int, folders: bool, tmp_path: Path
) -> None:
    """Also names longer than a header has room for, and folders between."""
    wanted = [(f"folder/{n}-{name}.jpg", content) for n, (name, content) in enumerate(files)]
    found = [_member(name, content) for name, content in wanted]
    between = [_member("folder", type=tarfile.DIRTYPE)] if folders else []
    assert _read(_archive(tmp_path / "a.tar", *between, *found, *between, form=form)) == wanted


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_of_header(form: int, tmp_path: Path) -> None:
    long = "/".join(["x" * 60] * 3) + ".jpg"
    wanted = [("./a.jpg", b"one"), (long, b"two"), ("empty.cls", b""), ("block.cls", bytes(BLOCK))]
    path = _archive(tmp_path / "a.tar", *(_member(name, content) for name, content in wanted), form=form)
    assert _read(path) == [(name.removeprefix("./"), content) for name, content in wanted]


def test_the_first_bytes_come_with_a_member(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.tar", _member("a.cls", b"12"), _member("b.bin", b"x" * 2000))
    assert [(member.size, member.start) for member in members(path)] == [(2, b"12"), (2000, b"x" * BLOCK)]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (b"K", "unknown kind"),
        (b"M", "unknown kind"),
        (b"z", "unknown kind"),
    ],
)
def test_nothing_but_plain_files(kind: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    member = tarfile.TarInfo("evil.jpg")
    member.type, member.linkname = kind, "/etc/passwd"
    path.write_bytes(_good() + member.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    with pytest.raises(DamagedFile, match=rf"{words}.*evil\.jpg.*a\.tar"):
        list(members(path))


def _good() -> bytes:
    return tarfile.TarInfo("first.jpg").tobuf()


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "a/..", "..", "a\\..\\b.jpg", "a//b.jpg", "a/./b.jpg"]
)
@pytest.mark.parametrize("form", FORMATS)
def test_no_name_that_leads_out(name: str, form: int, tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.tar", _member("first.jpg"), _member(name), form=form)
    with pytest.raises(DamagedFile, match=r"leads out.*a\.tar"):
        list(members(path))


def test_nor_by_a_long_name(tmp_path: Path) -> None:
    """The header has a name without harm, what stands before it another."""
    for form in FORMATS[1:]:
        path = _archive(tmp_path / "a.tar", _member("../" * 60 + "a.jpg"), form=form)
        with pytest.raises(DamagedFile, match="leads out"):
            list(members(path))


def test_an_archive_that_is_cut(tmp_path: Path) -> None:
    """Wherever, but for the blocks of its end that are one too many."""
    content = _archive(tmp_path / "a.tar", _member("a.jpg", b"x" * 700), _member("a.cls", b"1")).read_bytes()
    for end in range(0, len(content), 64):
        (tmp_path / "a.tar").write_bytes(content[:end])
        if end < 5 * BLOCK + BLOCK:
            with pytest.raises(DamagedFile, match=r"cut.*a\.tar"):
                list(members(tmp_path / "a.tar"))
        else:
            assert len(list(members(tmp_path / "a.tar"))) == 2


@pytest.mark.parametrize("size", [1 << 30, (1 << 33) - 1, 1 << 40, 1 << 63])
def test_sizes_that_cannot_be(size: int, tmp_path: Path) -> None:
    """In octal and, from 8 GiB on, in base 256; a sparse file of this machine holds as much as it says."""
    member = tarfile.TarInfo("huge.jpg")
    member.size = size
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DamagedFile, match=r"cut: 'huge\.jpg' of .*a\.tar has 1024"):
        list(members(path))


def test_a_member_that_is_too_large(tmp_path: Path) -> None:
    member = tarfile.TarInfo("huge.jpg")
    member.size = LARGEST + 1
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(member.tobuf())
        file.truncate(LARGEST + 4 * BLOCK)
    with pytest.raises(DamagedFile, match=r"too many: 'huge\.jpg'"):
        list(members(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    "record",
    [
        b"GNU.sparse.major=1", b"GNU.sparse.name=a.jpg", b"size=-1", b"size=1e3", b"size=" + b"9" * 30, b"path=/etc/passwd",
        b"path=\xff", b"\xff=1",
    ],
)  # fmt: skip
def test_extended_headers_that_do_harm(record: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_pax(_line(record)) + _good() + bytes(1024))
    with pytest.raises(DamagedFile, match=r"a\.tar"):
        list(members(tmp_path / "a.tar"))


@pytest.mark.parametrize("content", [b"99 path=a\n", b"5 path=a\n", b"0 path=a\n", b"path=a\n", b"9 path=ab", b"x" * 70_000])
def test_extended_headers_that_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_pax(content) + _good() + bytes(1024))
    with pytest.raises(DamagedFile, match=r"extended header|too many"):
        list(members(tmp_path / "a.tar"))


def test_a_header_for_all_does_not_rename(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_pax(_line(b"path=other.jpg"), b"g") + _good() + bytes(1024))
    assert _read(tmp_path / "a.tar") == [("first.jpg", b"")]


def _line(record: bytes) -> bytes:
    length = len(record) + 2
    while len(str(length)) + len(record) + 2 != length:
        length = len(str(length)) + len(record) + 2
    return b"%d %s\n" % (length, record)


def _pax(content: bytes, kind: bytes = b"x") -> bytes:
    member = tarfile.TarInfo("pax")
    member.type, member.size = kind, len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % BLOCK)


@pytest.mark.parametrize(
    ("start", "words"), [(b"\x1f\x8b\x08", "gzip"), (b"BZh9", "bzip2"), (b"\xfd7z", "xz"), (b"PK\x03", "zip")]
)
def test_a_compressed_archive_says_so(start: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(start + bytes(range(256)) * 8)
    with pytest.raises(DamagedFile, match=rf"compressed by {words}.*a\.tar"):
        list(members(tmp_path / "a.tar"))


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, form=st.sampled_from(FORMATS[1:]))
def test_any_bytes_end_well_or_as_damage(changes: list[tuple[int, int]], form: int, tmp_path: Path) -> None:
    found = (_member("folder/" + "n" * 110 + ".jpg", b"x" * 600), _member("a.cls", b"1"))
    content = bytearray(_archive(tmp_path / "a.tar", *found, form=form).read_bytes())
    for at, byte in changes:
        content[at % len(content)] = byte
    (tmp_path / "a.tar").write_bytes(content)
    try:
        names = [member.name for member in members(tmp_path / "a.tar")]
    except DamagedFile:
        return
    assert all(name and not name.startswith("/") and ".." not in name.split("/") for name in names)


def test_a_gone_archive_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(members(tmp_path / "gone.tar"))
    with pytest.raises(DamagedFile, match="cannot read"):
        list(members(tmp_path))

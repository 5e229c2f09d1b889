"""CIFAR as published, archive and folder: every pixel in its place, and what an archive may not do."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.data import cifar, open_source
from edgevit.data.dataset import Dataset
from edgevit.errors import BadInput, DamagedFile

TEN, HUNDRED = "cifar-10-batches-py", "cifar-100-python"
RANDOM = np.random.default_rng(0)
Files = dict[str, bytes]


def _short(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def _python_2(record: dict[str, Any]) -> bytes:
    """A dictionary of bytes, lists and arrays as Python 2 wrote it at protocol 2, operation by operation."""
    return b"\x80\x02}q\x01(" + b"".join(_short(key.encode()) + _written(value) for key, value in record.items()) + b"u."


def _written(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        rows, columns = (b"M" + side.to_bytes(2, "little") for side in value.shape)
        return (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01" + rows + columns
            + b"\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
            + value.nbytes.to_bytes(4, "little") + value.tobytes() + b"tb"
        )  # fmt: skip
    if isinstance(value, list):
        return b"](" + b"".join(map(_written, value)) + b"e"
    return b"K" + bytes([value]) if isinstance(value, int) else _short(value)


def _python_3(record: dict[str, Any]) -> bytes:
    """As one writes it who makes such a set today; text is text."""
    plain = {k: [n.decode() if isinstance(n, bytes) else n for n in v] if isinstance(v, list) else v for k, v in record.items()}
    return pickle.dumps(plain, 2)


WRITERS: dict[str, Callable[[dict[str, Any]], bytes]] = {"Python 2": _python_2, "Python 3": _python_3}


def _batch(key: str, n: int, classes: int, **more: Any) -> dict[str, Any]:
    return {"data": RANDOM.integers(0, 256, (n, 3072), np.uint8), key: [i % classes for i in range(n)], **more}


def _ten() -> dict[str, dict[str, Any]]:
    names = [b"airplane", b"automobile", b"bird"]
    batches = {f"data_batch_{i}": _batch("labels", 4, 3, filenames=[b"a.png"] * 4) for i in range(1, 6)}
    return {"batches.meta": {"label_names": names, "num_vis": 9}, **batches, "test_batch": _batch("labels", 5, 3)}


def _hundred() -> dict[str, dict[str, Any]]:
    meta = {"fine_label_names": [b"apple", b"aquarium_fish"], "coarse_label_names": [b"all"]}
    return {"meta": meta, "train": _batch("fine_labels", 6, 2, coarse_labels=[0] * 6), "test": _batch("fine_labels", 2, 2)}


SETS = {TEN: _ten(), HUNDRED: _hundred()}


def _files(folder: str, write: Callable[[dict[str, Any]], bytes] = _python_2, **changed: bytes) -> Files:
    return {**{name: write(record) for name, record in SETS[folder].items()}, **changed}


def _folder(place: Path, files: Files) -> str:
    place.mkdir(exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return str(place)


def _tar(folder: str, files: Files, *more: tarfile.TarInfo, form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        top = tarfile.TarInfo(folder)
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in more:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def _archive(
    tmp_path: Path, folder: str, files: Files | None = None, *more: tarfile.TarInfo, form: int = tarfile.USTAR_FORMAT
) -> str:
    file = tmp_path / "cifar.tar.gz"
    file.write_bytes(gzip.compress(_tar(folder, files or _files(folder), *more, form=form), 1))
    return str(file)


def _same(found: Dataset, folder: str) -> None:
    """Every image and class of `found` is that of the set."""
    records = SETS[folder]
    key = "labels" if folder == TEN else "fine_labels"
    for part, names in ((found.train, [n for n in records if "batch_" in n or n == "train"]), (found.held_out, [[*records][-1]])):
        planes = np.concatenate([records[name]["data"] for name in names])
        assert part.classes.tolist() == [number for name in names for number in records[name][key]]
        assert part.names[0] == f"{names[0]}/00000" and len(set(part.names)) == len(part) == len(planes)
        for i, plane in enumerate(planes):
            image = part.open(i)
            assert image.mode == "RGB" and np.array_equal(np.asarray(image), plane.reshape(3, 32, 32).transpose(1, 2, 0))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("folder", SETS)
def test_archive_and_folder_are_read_exactly(folder: str, writer: str, tmp_path: Path) -> None:
    files = _files(folder, WRITERS[writer])
    for spec in (_archive(tmp_path, folder, files), _folder(tmp_path / folder, files)):
        found = open_source(spec)
        assert found.labels == (("airplane", "automobile", "bird") if folder == TEN else ("apple", "aquarium_fish"))
        assert found.native_size == 32 and found.photos and found.named and found.has_held_out
        _same(found, folder)


def test_a_folder_may_have_any_name_and_other_files(tmp_path: Path) -> None:
    _same(open_source(_folder(tmp_path / "mine", _files(TEN, **{"readme.html": b"hello"}))), TEN)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_every_make_with_more_in_them(form: int, tmp_path: Path) -> None:
    long = tarfile.TarInfo(f"{TEN}/{'long' * 10}/{'long' * 18}.html")
    long.size = 700
    _same(open_source(_archive(tmp_path, TEN, _files(TEN, **{"readme.html": b"hello"}), long, form=form)), TEN)


def test_an_unzipped_archive(tmp_path: Path) -> None:
    (tmp_path / "cifar.tar").write_bytes(_tar(HUNDRED, _files(HUNDRED)))
    _same(open_source(str(tmp_path / "cifar.tar")), HUNDRED)


def _refused(spec: str, words: str, kind: type[BadInput] = DamagedFile) -> BadInput:
    with pytest.raises(kind, match=words) as caught:
        open_source(spec)
    assert "\n" not in caught.value.message
    return caught.value


class _Touch:
    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


@pytest.mark.parametrize("name", [*SETS[TEN]])
def test_a_hostile_pickle_is_not_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = _files(TEN, **{name: pickle.dumps({"data": _Touch(), "labels": []}, 2)})
    for spec in (_archive(tmp_path, TEN, files), _folder(tmp_path / TEN, files)):
        assert name in _refused(spec, "a pickle with the name 'posix.system'").message
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("left", [0, 10, 0.1, 0.5, 0.9, -1, -8])
def test_a_cut_archive_is_named(left: float, tmp_path: Path) -> None:
    spec = _archive(tmp_path, TEN)
    whole = Path(spec).read_bytes()
    Path(spec).write_bytes(whole[: int(left * len(whole)) if isinstance(left, float) else left])
    _refused(spec, spec, BadInput)


@pytest.mark.parametrize("blocks", [1, 5, 60])
def test_a_cut_archive_whose_gz_is_whole_is_named(blocks: int, tmp_path: Path) -> None:
    file = tmp_path / "cifar.tar.gz"
    file.write_bytes(gzip.compress(_tar(TEN, _files(TEN))[: 512 * blocks + 100]))
    _refused(str(file), "cut or damaged")


def test_a_changed_archive_is_noticed(tmp_path: Path) -> None:
    """By the checksum of gz, at the end of the file: the pixels are random, so no other check sees it."""
    whole = bytearray(_tar(TEN, _files(TEN)))
    packed = bytearray(gzip.compress(bytes(whole), 0))
    packed[packed.index(SETS[TEN]["data_batch_1"]["data"].tobytes()[:64])] ^= 1
    (tmp_path / "cifar.tgz").write_bytes(packed)
    _refused(str(tmp_path / "cifar.tgz"), "cut or damaged")


def test_what_is_no_archive(tmp_path: Path) -> None:
    for name, content in {"a.tar.gz": b"text", "b.tar": b"text" * 300, "c.tgz": gzip.compress(b"text" * 300)}.items():
        (tmp_path / name).write_bytes(content)
        _refused(str(tmp_path / name), f"cut or damaged: {tmp_path / name}")


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    for folder in ("images", ""):
        error = _refused(_archive(tmp_path, folder, _files(TEN)), "not a CIFAR archive", BadInput)
        assert TEN in error.hint and HUNDRED in error.hint


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    link = tarfile.TarInfo(f"{TEN}/data_batch_1")
    link.type, link.linkname = kind, "/etc/passwd"
    _refused(_archive(tmp_path, TEN, None, link), "a link or device in .*data_batch_1")


@pytest.mark.parametrize("name", ["../batches.meta", f"/{TEN}/batches.meta", f"../{TEN}/batches.meta"])
def test_a_name_that_leads_out_leads_nowhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written; such a member is none of CIFAR's."""
    monkeypatch.chdir(tmp_path)
    out = tarfile.TarInfo(name)
    out.size = 3
    _same(open_source(_archive(tmp_path, TEN, None, out)), TEN)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cifar.tar.gz"]


def test_a_file_that_is_there_twice(tmp_path: Path) -> None:
    again = tarfile.TarInfo(f"{TEN}/test_batch")
    again.size = 4
    _refused(_archive(tmp_path, TEN, None, again), f"{TEN}/test_batch is twice in")


def test_two_sets_in_one_archive(tmp_path: Path) -> None:
    both = {f"{TEN}/{name}": content for name, content in _files(TEN).items()}
    both |= {f"{HUNDRED}/{name}": content for name, content in _files(HUNDRED).items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in both.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (tmp_path / "both.tar").write_bytes(buffer.getvalue())
    _refused(str(tmp_path / "both.tar"), "not a CIFAR archive", BadInput)


def _peak(spec: str, words: str) -> int:
    tracemalloc.start()
    try:
        _refused(spec, words)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gz_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """300 kB that unpack to 300 MB: one file that says so, and one that hides behind the end of the archive."""
    head = tarfile.TarInfo(f"{TEN}/data_batch_1")
    head.size = 300 << 20
    file = tmp_path / "bomb.tar.gz"
    file.write_bytes(gzip.compress(head.tobuf() + bytes(head.size), 1))
    assert _peak(str(file), "unpacks to more than any file of CIFAR") < 4 << 20
    file.write_bytes(gzip.compress(_tar(HUNDRED, _files(HUNDRED)) + bytes(300 << 20), 1))
    assert _peak(str(file), "goes on behind its last file") < 8 << 20


def test_many_files_are_no_way_around_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "MOST", 10_000)
    large = tarfile.TarInfo("x")
    large.size = 4000
    _refused(_archive(tmp_path, "y", {"z": b""}, large, large, large), "unpacks to more than any file of CIFAR")


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    files = _files(TEN)
    del files[name]
    _refused(_archive(tmp_path, TEN, files), f"missing from .*: {name}")
    if name != "batches.meta":  # by which the folder is known
        _refused(_folder(tmp_path / TEN, files), f"missing from .*: {name}", BadInput)


WRONG = {
    "a list": ([1, 2], "not a file of CIFAR"),
    "no data": ({"labels": [0, 1]}, "no uint8 array"),
    "floats": ({"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]}, "no uint8 array"),
    "grey": ({"data": np.zeros((2, 1024), np.uint8), "labels": [0, 1]}, "no uint8 array"),
    "images": ({"data": np.zeros((2, 32, 32, 3), np.uint8), "labels": [0, 1]}, "no uint8 array"),
    "a list of pixels": ({"data": [0] * 3072, "labels": [0]}, "no uint8 array"),
    "nothing": ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, "no images in"),
    "no labels": ({"data": np.zeros((2, 3072), np.uint8)}, "class numbers other than 0 to 2"),
    "a class too many": ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 3]}, "class numbers other than 0 to 2"),
    "a negative class": ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, -1]}, "class numbers other than 0 to 2"),
    "text": ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, "1"]}, "class numbers other than 0 to 2"),
    "a bool": ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, True]}, "class numbers other than 0 to 2"),
    "too few labels": ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "2 images but 1 labels"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_record_of_another_kind_is_named(what: str, tmp_path: Path) -> None:
    record, words = WRONG[what]
    files = _files(TEN, data_batch_4=pickle.dumps(record, 2))
    assert "data_batch_4" in _refused(_archive(tmp_path, TEN, files), words, BadInput).message


@pytest.mark.parametrize("names", [None, b"ab", [b"a", 1], [b"a", [b"b"]]])
def test_names_of_another_kind(names: Any, tmp_path: Path) -> None:
    files = _files(TEN, **{"batches.meta": pickle.dumps({"label_names": names}, 2)})
    _refused(_archive(tmp_path, TEN, files), "no list label_names in batches.meta")

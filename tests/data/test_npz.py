"""Arrays in an .npz: three sets of names, and a file that is not believed further than its bytes go."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.data import arrays, npz, open_source
from edgevit.errors import BadInput, DamagedFile

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 6, 8, 3), np.uint8)
CLASSES = np.arange(12, dtype=np.int64) % 3
CIFAR_PART = Path(__file__).parents[3] / "shared" / "data" / "cifar10-part" / "cifar10-part.npz"


def _save(tmp_path: Path, **content: Any) -> str:
    np.savez_compressed(tmp_path / "data.npz", **content)
    return str(tmp_path / "data.npz")


def _refused(spec: str, words: str, kind: type[BadInput] = BadInput) -> BadInput:
    with pytest.raises(kind, match=words) as caught:
        open_source(spec)
    assert spec in caught.value.message and "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("form", ["train_images train_labels test_images test_labels", "x_train y_train x_test y_test"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_with_a_split_are_read_exactly(form: str, save: Any, tmp_path: Path) -> None:
    save(tmp_path / "data.npz", **dict(zip(form.split(), (PIXELS, CLASSES, PIXELS[:5], CLASSES[:5]), strict=True)))
    found = open_source(str(tmp_path / "data.npz"))
    assert found.labels == ("0", "1", "2") and not found.named and found.has_held_out
    assert found.native_size == 8 and found.photos
    assert (len(found.train), len(found.held_out)) == (12, 5) and np.array_equal(found.train.classes, CLASSES)
    assert found.train.names[7] == f"{form.split()[0]}/00007" and found.held_out.names[4] == f"{form.split()[2]}/00004"
    for i in range(12):
        assert np.array_equal(np.asarray(found.train.open(i)), PIXELS[i]) and found.train.open(i).mode == "RGB"


@pytest.mark.parametrize("names", ["images labels", "train_images train_labels", "x_train y_train"])
def test_without_a_split_some_of_each_class_are_held_out(names: str, tmp_path: Path) -> None:
    found = open_source(_save(tmp_path, **dict(zip(names.split(), (PIXELS, CLASSES), strict=True))))
    assert not found.has_held_out and np.bincount(found.held_out.classes).tolist() == [1, 1, 1]
    assert np.array_equal(found.all.classes, CLASSES)


@pytest.mark.parametrize(
    ("images", "mode", "photos"),
    [
        (PIXELS[..., 0], "L", False),
        (PIXELS[..., :1], "L", False),
        (PIXELS, "RGB", True),
        (PIXELS[..., [0, 1, 2, 0]], "RGBA", True),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_channels(images: np.ndarray, mode: str, photos: bool, order: Any, tmp_path: Path) -> None:
    found = open_source(_save(tmp_path, images=np.asarray(images, order=order), labels=CLASSES))
    assert found.photos == photos and found.all.open(3).mode == mode
    assert np.array_equal(np.asarray(found.all.open(3)).ravel(), images[3].ravel())


@pytest.mark.parametrize("classes", [["cat", "dog", "bird"], [b"cat", b"dog", b"bird"]])
def test_names_are_kept(classes: Any, tmp_path: Path) -> None:
    found = open_source(_save(tmp_path, images=PIXELS, labels=CLASSES, classes=np.array(classes)))
    assert found.labels == ("cat", "dog", "bird") and found.named


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "<i4", ">i4", "i8", "u8"])
def test_labels_of_any_whole_type_also_in_a_column(kind: str, tmp_path: Path) -> None:
    for shape in ((12,), (12, 1)):
        found = open_source(_save(tmp_path, images=PIXELS, labels=CLASSES.astype(kind).reshape(shape)))
        assert found.all.classes.dtype == np.int64 and np.array_equal(found.all.classes, CLASSES)


def test_classes_that_have_names_need_no_image(tmp_path: Path) -> None:
    found = open_source(_save(tmp_path, images=PIXELS, labels=CLASSES * 2, classes=np.array(list("abcdef"))))
    assert found.labels == tuple("abcdef") and found.all.classes.max() == 4


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "floats": ({"images": PIXELS / 255}, "images of float64, not uint8: images of"),
    "float32": ({"images": PIXELS.astype("f4")}, "images of float32, not uint8"),
    "sixteen bits": ({"images": PIXELS.astype("u2")}, "images of uint16, not uint8"),
    "objects": ({"images": np.array([None] * 12)}, "images of objects, not uint8"),
    "labels of objects": ({"labels": np.array(list(range(12)), object)}, "labels of objects, not whole numbers: labels of"),
    "labels of floats": ({"labels": CLASSES.astype("f4")}, "labels of float32, not whole numbers"),
    "labels of text": ({"labels": CLASSES.astype(str)}, "labels of <U21, not whole numbers"),
    "labels of bools": ({"labels": CLASSES > 1}, "labels of bool, not whole numbers"),
    "names of objects": ({"classes": np.array(["a", "b", "c"], object)}, "no row of names but objects: classes of"),
    "names of numbers": ({"classes": np.arange(3)}, "no row of names but int64"),
    "names in a column": ({"classes": np.array([["a"], ["b"], ["c"]])}, "no row of names but <U1 "),
    "channels first": ({"images": PIXELS.transpose(0, 3, 1, 2)}, r"the channels come first: images of .*: \(12, 3, 6, 8\)"),
    "tiny images": ({"images": PIXELS[:, :4, :4]}, "cannot tell the channels"),
    "five channels": ({"images": PIXELS.reshape(12, 8, 6, 3)[..., [0, 0, 0, 0, 0]]}, "no images of 1, 3 or 4 channels"),
    "one image": ({"images": PIXELS[0, :, :, 0]}, "no images of 1, 3 or 4 channels"),
    "video": ({"images": PIXELS[None]}, "no images of 1, 3 or 4 channels"),
    "no image": ({"images": PIXELS[:0], "labels": CLASSES[:0]}, "no images in images of"),
    "no pixel": ({"images": PIXELS[:, :0]}, "no images in images of"),
    "fewer labels": ({"labels": CLASSES[:11]}, "12 images but 11 labels"),
    "one-hot": ({"labels": np.eye(3, dtype=int)[CLASSES]}, r"not one class number an image: labels of .*: \(12, 3\)"),
    "a single label": ({"labels": np.array(1)}, "not one class number an image"),
    "a negative one": ({"labels": CLASSES - 1}, "class number -1 in .*, whose classes are 0 to 2"),
    "a gap": ({"labels": CLASSES * 2}, "no image of class 1 in .*, but of class 2"),
    "no class 0": ({"labels": CLASSES + 1}, "no image of class 0 in .*, but of class 1"),
    "enormous": ({"labels": CLASSES * (1 << 60)}, "no image of class 1 in"),
    "too few names": ({"classes": np.array(["a", "b"])}, "class number 2 in .*, whose classes are 0 to 1"),
    "one class": ({"labels": CLASSES * 0}, "only one class in"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_set_of_labelled_images(what: str, tmp_path: Path) -> None:
    changed, words = WRONG[what]
    error = _refused(_save(tmp_path, **{"images": PIXELS, "labels": CLASSES, **changed}), words)
    assert error.hint or what in ("no image", "no pixel", "fewer labels", "a negative one", "too few names")


def test_the_hint_for_channels_that_come_first_works(tmp_path: Path) -> None:
    first = PIXELS.transpose(0, 3, 1, 2)
    hint = _refused(_save(tmp_path, images=first, labels=CLASSES), "channels come first").hint
    assert "transpose(0, 2, 3, 1)" in hint and np.array_equal(first.transpose(0, 2, 3, 1), PIXELS)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("", "no images in .*: no array"),
        ("a b", "no images in .*: a, b"),
        ("images", "missing from .*: labels"),
        ("train_images train_labels test_images", "missing from .*: test_labels"),
        ("x_train y_train y_test", "missing from .*: x_test"),
        ("images labels x_train y_train", "more than one set of images"),
    ],
)
def test_other_names_are_named(names: str, words: str, tmp_path: Path) -> None:
    _refused(_save(tmp_path, **dict.fromkeys(names.split(), CLASSES)), words)


def test_an_array_of_objects_that_nobody_needs_is_left_alone(tmp_path: Path) -> None:
    assert len(open_source(_save(tmp_path, images=PIXELS, labels=CLASSES, notes=np.array([{}, None]))).all) == 12


# Files that are not what they say.


def _npy(shape: object, descr: object = "|u1", data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(header)) + header + data


def _zip(tmp_path: Path, **members: bytes) -> str:
    with zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"labels": _npy((2,), data=b"\0\1"), **members}.items():
            archive.writestr(f"{name}.npy", content)
    return str(tmp_path / "data.npz")


def test_a_file_that_is_made_by_hand_is_read(tmp_path: Path) -> None:
    """The counterpart of all below."""
    for version in (b"\x01\x00", b"\x02\x00"):
        found = open_source(_zip(tmp_path, images=_npy((2, 5, 5), data=bytes(range(50)), version=version)))
        assert np.asarray(found.all.open(1)).ravel().tolist() == list(range(25, 50))


def _peak(spec: str, words: str) -> int:
    tracemalloc.start()
    try:
        _refused(spec, words, DamagedFile)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "shape", [(2, 1 << 20, 1 << 20), (1 << 31, 1 << 31, 1 << 31), (2, 1000, 1000), (2, 5, 6), (2, 5, 4), (-2, -5, 5)]
)
def test_a_header_that_promises_something_else_than_there_is(shape: tuple[int, ...], tmp_path: Path) -> None:
    assert _peak(_zip(tmp_path, images=_npy(shape, data=bytes(50))), "where its header says|not arrays") < 4 << 20


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """300 kB that unpack to 300 MB where the header says 50 bytes."""
    assert _peak(_zip(tmp_path, images=_npy((2, 5, 5), data=bytes(300 << 20))), "where its header says") < 8 << 20


def _patched(spec: str, size: int) -> str:
    """The directory of the zip says that each file unpacks to `size` bytes."""
    content = bytearray(Path(spec).read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset : at + offset + 4] = struct.pack("<I", size)
            at = content.find(signature, at + 1)
    Path(spec).write_bytes(content)
    return spec


def test_a_directory_that_promises_more_than_the_file_can_hold(tmp_path: Path) -> None:
    shape = (2, 1 << 15, 1 << 15)
    spec = _patched(_zip(tmp_path, images=_npy(shape, data=bytes(50))), (1 << 31) + 128)
    assert _peak(spec, "cannot hold the 2147483776 bytes that it promises") < 4 << 20


@pytest.mark.parametrize(
    "descr", ["|O", "O", [("a", "|O")], "|V0", "<U99999999", "nonsense", ["a"] * 50, 7, None, ("|u1", (3,)), "|u1" * 1000]
)  # fmt: skip
def test_a_type_that_no_image_has(descr: object, tmp_path: Path) -> None:
    _refused(_zip(tmp_path, images=_npy((2, 5, 5), descr, bytes(50))), "not uint8|not arrays of numpy|header says|cut or damaged")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"text", b"\x93NUMPY\x01", b"\x93NUMPY\x03\x00", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70_000,
        b"\x93NUMPY\x01\x00\x08\x00" + b"(((((((\n", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{",
        _npy("text"), _npy((2.5,)), _npy(((2,),)), _npy((2, True)),
    ],
)  # fmt: skip
def test_a_member_that_is_no_array(content: bytes, tmp_path: Path) -> None:
    _refused(_zip(tmp_path, images=content), "cut or|not arrays|npy of version|where its header says", DamagedFile)


@pytest.mark.parametrize("left", [0, 20, 0.3, 0.9, -1])
def test_a_cut_file_is_named(left: float, tmp_path: Path) -> None:
    spec = _save(tmp_path, images=PIXELS, labels=CLASSES)
    whole = Path(spec).read_bytes()
    Path(spec).write_bytes(whole[: int(left * len(whole)) if isinstance(left, float) else left])
    _refused(spec, "cut or damaged", DamagedFile)


def test_a_changed_file_is_noticed_or_read(tmp_path: Path) -> None:
    """Every byte of a small file changed: nothing but an answer or BadInput. A changed pixel is found by the checksum."""
    spec = _zip(tmp_path, images=_npy((2, 5, 5), data=np.random.default_rng(0).bytes(50)))
    whole = Path(spec).read_bytes()
    for n in range(len(whole)):
        changed = bytearray(whole)
        changed[n] ^= 0xFF
        Path(spec).write_bytes(changed)
        try:
            found = open_source(spec)
        except BadInput as error:
            assert "\n" not in error.message
        else:
            assert len(found.all) == 2


def test_a_changed_pixel_is_found_by_the_checksum(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=PIXELS, labels=CLASSES)
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[content.index(PIXELS.tobytes()[:50])] ^= 1
    (tmp_path / "data.npz").write_bytes(content)
    _refused(str(tmp_path / "data.npz"), "cut or damaged", DamagedFile)


def test_an_encrypted_file_and_another_compression(tmp_path: Path) -> None:
    spec = _zip(tmp_path, images=_npy((2, 5, 5), data=bytes(50)))
    whole = bytearray(Path(spec).read_bytes())
    for offset, value in ((6, 1), (8, 99)):
        changed, at, central = bytearray(whole), whole.find(b"PK\x03\x04"), whole.find(b"PK\x01\x02")
        changed[at + offset] = changed[central + offset + 2] = value
        Path(spec).write_bytes(changed)
        _refused(spec, "not arrays of numpy|cut or damaged|packed in a way", DamagedFile)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_without_a_limit_is_refused(method: int, tmp_path: Path) -> None:
    """Their readers unpack a whole member whatever size it is said to have."""
    with zipfile.ZipFile(tmp_path / "data.npz", "w", method) as archive:
        archive.writestr("images.npy", _npy((2, 5, 5), data=bytes(50)))
    _refused(str(tmp_path / "data.npz"), "packed in a way that numpy never does", DamagedFile)


def test_an_array_that_is_there_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("images.npy", _npy((2, 5, 5), data=bytes(50)))
    _refused(str(tmp_path / "data.npz"), "array 'images' is twice", DamagedFile)


def test_more_arrays_than_anybody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST", 2)
    _refused(_zip(tmp_path, a=b"", b=b""), "3 arrays in", DamagedFile)


def test_a_pickle_in_the_place_of_an_array_is_not_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Touch(tmp_path / "owned")], object), allow_pickle=True)
    _refused(_zip(tmp_path, images=buffer.getvalue(), labels=_npy((1,), data=b"\0")), "images of objects, not uint8")
    assert not (tmp_path / "owned").exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.skipif(not CIFAR_PART.is_file(), reason="../shared/data/cifar10-part is not here")
def test_a_part_of_cifar_10() -> None:
    found = open_source(str(CIFAR_PART))
    assert (len(found.train), len(found.held_out)) == (8000, 2000) and found.named and found.photos and found.native_size == 32
    assert len(found.labels) == 10 and {"airplane", "truck"} <= set(found.labels)
    with np.load(CIFAR_PART) as file:
        for part, name in ((found.train, "train"), (found.held_out, "test")):
            pixels = file[f"{name}_images"]
            assert np.array_equal(part.classes, file[f"{name}_labels"])
            assert all(np.array_equal(np.asarray(part.open(i)), pixels[i]) for i in (0, 17, len(part) - 1))


@pytest.mark.parametrize("kind", ["U", "S"])
def test_names_of_no_letters_are_not_made(kind: str, tmp_path: Path) -> None:
    """A header of a few bytes may promise any number of them."""
    empty = _npy((10**9,), f"|{kind}0" if kind == "S" else "<U0")
    _refused(_zip(tmp_path, images=_npy((2, 5, 5), data=bytes(50)), classes=empty), "text of no letters", DamagedFile)


def test_more_names_than_there_are_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MOST_CLASSES", 2)
    _refused(_save(tmp_path, images=PIXELS, labels=CLASSES, classes=np.array(["a", "b", "c"])), "3 names of classes")


def test_names_of_other_bytes(tmp_path: Path) -> None:
    _refused(_save(tmp_path, images=PIXELS, labels=CLASSES, classes=np.array([b"a", b"\xff", b"c"])), "not UTF-8")

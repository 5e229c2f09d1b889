"""Images in shards: what is written is what there was, others read it by their own rules, and archives of others are read."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevit import folder
from edgevit.data import cifar, huggingface, open_source, shards, shards_write
from edgevit.data.dataset import Dataset, Divided, Images, Undivided
from edgevit.data.loading import Loader
from edgevit.errors import BadInput, DamagedFile
from edgevit.jobs.evaluate import evaluate
from edgevit.jobs.shards import write
from edgevit.pipeline.contents import Contents
from edgevit.training.fit import fit
from edgevit.types import DataChoice, Preprocess, TrainConfig, silent

RunCli = Callable[..., subprocess.CompletedProcess[str]]

SMALL = 10_240
"""Bytes of a shard that holds a few of the images."""


@pytest.fixture(scope="module")
def made(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture `images` in shards of a few. Not to be changed."""
    out = tmp_path_factory.mktemp("made") / "shards"
    write(str(images), out, SMALL, 3, 0.25, "refuse", False, silent)
    return out


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def _webdataset(path: Path) -> list[dict[str, bytes]]:
    """Samples as WebDataset's documentation has them: successive files of one name up to its first dot, by what follows it."""
    samples: list[dict[str, bytes]] = []
    with tarfile.open(path, "r|") as archive:
        for member in archive:
            found = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
            assert found and member.isreg()
            key, kind = found.groups()
            if not samples or samples[-1]["__key__"] != key.encode():
                samples.append({"__key__": key.encode()})
            assert kind not in samples[-1]
            file = archive.extractfile(member)
            assert file
            samples[-1][kind] = file.read()
    return samples


def test_others_read_them_by_their_rules(made: Path, images: Path) -> None:
    """Every image of the source once, in its own bytes, with its class; no key twice in all shards."""
    keys: list[bytes] = []
    found = Counter[tuple[bytes, str]]()
    labels = (made / "classes.txt").read_text().split()
    for path in sorted(made.glob("*.tar")):
        for sample in _webdataset(path):
            (kind,) = set(sample) - {"__key__", "cls"}
            keys.append(sample["__key__"])
            found[sample[kind], f"{labels[int(sample['cls'])]}.{kind}"] += 1
    files = [f for f in images.rglob("*") if f.is_file()]
    assert found == Counter((f.read_bytes(), f"{f.parent.name}{f.suffix}") for f in files)
    assert len(set(keys)) == len(keys) == 36


def test_the_parts_are_those_of_the_source(made: Path, images: Path) -> None:
    before, after = open_source(str(images), 3, 0.25), open_source(str(made), 77, 0.9)
    assert after.labels == before.labels and (after.native_size, after.photos, after.named) == (224, True, True)
    assert after.has_held_out
    for name in ("train", "held-out", "all"):
        one, two = before.split(name), after.split(name)
        assert Counter(_contents(one)) == Counter(_contents(two))
    with pytest.raises(BadInput, match="no test images"):
        _ = after.test


def _contents(images: Images) -> list[tuple[bytes, int]]:
    assert images.content
    return [(images.content(i), int(images.classes[i])) for i in range(len(images))]


def test_they_are_images_as_all_are(made: Path) -> None:
    data = open_source(str(made))
    for images in (data.train, data.all, data.train.take([5, 0, 9])):
        assert images.content and images.stamp and images.groups is not None
        assert len(images.names) == len(set(images.names)) == len(images.classes) == len(images.groups) == len(images)
        pixels, classes = Loader(images, Preprocess((20, 20), (16, 16))).everything()
        assert (pixels.reshape(len(images), -1, 3).mean(1).argmax(1) == np.array([2, 1, 0])[classes]).all()  # blue, green, red
        assert len({str(images.stamp(i)) for i in range(len(images))}) == len(images)
        shards_of = [name.partition("/")[0] for name in images.names]
        assert len(set(zip(shards_of, images.groups.tolist(), strict=True))) == len(set(shards_of))


def test_the_table_says_what_each_was(made: Path, images: Path) -> None:
    with (made / shards_write.SOURCES).open() as file:
        rows = {row["sample"]: row for row in csv.DictReader(file)}
    for path in made.glob("*.tar"):
        for sample in _webdataset(path):
            row = rows.pop(sample["__key__"].decode())
            (kind,) = set(sample) - {"__key__", "cls"}
            assert (images / row["source"]).read_bytes() == sample[kind] and row["class"] == row["source"].partition("/")[0]
    assert not rows


def test_equal_images_and_seed_give_equal_bytes(made: Path, images: Path, tmp_path: Path) -> None:
    for name, seed in (("same", 3), ("other", 4)):
        write(str(images), tmp_path / name, SMALL, seed, 0.25, "refuse", False, silent)
    assert folder.hashes(tmp_path / "same") == folder.hashes(made) != folder.hashes(tmp_path / "other")


def test_a_shard_is_as_large_as_was_said(images: Path, tmp_path: Path) -> None:
    found = write(str(images), tmp_path / "out", 30_000, 0, 0.25, "refuse", False, silent).index
    sizes = [(tmp_path / "out" / shard.name).stat().st_size for shard in found.shards]
    assert sizes == [shard.bytes for shard in found.shards] and max(sizes) <= 30_720 and len(sizes) > 2
    one = write(str(images), tmp_path / "one", 1, 0, 0.25, "refuse", False, silent).index
    assert [shard.samples for shard in one.shards] == [1] * 36
    all_ = write(str(images), tmp_path / "all", 1 << 30, 0, 0.25, "refuse", False, silent).index
    assert [shard.name for shard in all_.shards] == ["train-000000.tar", "val-000000.tar"]


def test_images_that_are_no_files_are_the_same_pixels(tmp_path: Path) -> None:
    write("digits", tmp_path / "out", 200_000, 0, 0.2, "refuse", False, silent)
    before, after = open_source("digits"), open_source(str(tmp_path / "out"))
    assert (after.native_size, after.photos) == (32, False)
    one, two = _pixels(before.held_out), _pixels(after.held_out)
    assert one == two and sum(one.values()) == 359


def _pixels(images: Images) -> Counter[tuple[bytes, int]]:
    return Counter((np.asarray(images.open(i)).tobytes(), int(images.classes[i])) for i in range(len(images)))


def test_shards_of_shards(made: Path, tmp_path: Path) -> None:
    write(str(made), tmp_path / "again", 1 << 30, 0, 0.5, "refuse", False, silent)
    for name in ("train", "held-out"):
        one, two = open_source(str(made)).split(name), open_source(str(tmp_path / "again")).split(name)
        assert Counter(_contents(one)) == Counter(_contents(two))


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val", "test"), ("val",), ("test",)])
def test_parts_that_a_source_has(parts: tuple[str, ...], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_source(str(images)).all
    of = {part: whole.take(range(n, 36, len(parts))) for n, part in enumerate(parts)}
    held = of.get("val", of.get("test"))
    data = Dataset("x", ("a", "b", "c"), Divided(of.get("train"), held, of.get("test") if "val" in of else None), 30, False)
    (tmp_path / "out").mkdir()
    shards_write.write(data, tmp_path / "out", SMALL, 0, "refuse", silent)
    after = open_source(str(tmp_path / "out"))
    for part in ("train", "held-out", "test"):
        wanted = {"train": data.parts.train, "held-out": data.parts.held_out, "test": data.parts.test}[part]  # type: ignore[union-attr]
        if wanted is None:
            with pytest.raises(BadInput, match=f"no {part} images"):
                after.split(part)
        else:
            assert Counter(_contents(after.split(part))) == Counter(_contents(wanted))


def _with_bad(images: Path, tmp_path: Path) -> Path:
    copied = Path(shutil.copytree(images, tmp_path / "bad"))
    (copied / "red" / "04.png").write_bytes((copied / "red" / "04.png").read_bytes()[:200])
    return copied


def test_a_bad_image_is_refused_or_left_out(images: Path, tmp_path: Path) -> None:
    bad = _with_bad(images, tmp_path)
    with pytest.raises(DamagedFile, match=r"red/04\.png") as caught:
        write(str(bad), tmp_path / "out", SMALL, 0, 0.25, "refuse", False, silent)
    assert "skip" in caught.value.hint and not (tmp_path / "out").exists()
    found = write(str(bad), tmp_path / "out", SMALL, 0, 0.25, "skip", False, silent)
    assert found.skipped == ("red/04.png",) and found.index.samples == 35 == len(open_source(str(tmp_path / "out")).all)
    with pytest.raises(BadInput, match="unknown --on-bad-image"):
        write(str(bad), tmp_path / "two", SMALL, 0, 0.25, "ignore", False, silent)


def test_not_one_readable_image(images: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(images, tmp_path / "bad"))
    for file in copied.rglob("*.*"):
        file.write_bytes(b"no image")
    with pytest.raises(BadInput, match="not one image of train could be read"):
        write(str(copied), tmp_path / "out", SMALL, 0, 0.25, "skip", False, silent)


def test_only_shards_are_replaced(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(str(images), out, SMALL, 0, 0.25, "refuse", False, silent)
    with pytest.raises(BadInput, match="already exists"):
        write(str(images), out, SMALL, 0, 0.25, "refuse", False, silent)
    write(str(images), out, 1 << 30, 0, 0.25, "refuse", True, silent)
    assert len(list(out.glob("*.tar"))) == 2
    (out / "classes.u32").unlink()
    with pytest.raises(BadInput, match="not replaced"):
        write(str(images), out, SMALL, 0, 0.25, "refuse", True, silent)


# --- archives of others


def _tar(path: Path, *members: tuple[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _image(shade: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(file, form)
    return file.getvalue()


def _samples(*classes: int, start: int = 0) -> list[tuple[str, bytes]]:
    found = []
    for nth, number in enumerate(classes, start=start):
        found += [(f"dir/{nth:04d}.png", _image(nth)), (f"dir/{nth:04d}.cls", str(number).encode())]
    return found


def test_plain_archives_are_split_by_class(tmp_path: Path) -> None:
    _tar(tmp_path / "a-0.tar", *_samples(0, 1, 0, 1))
    _tar(tmp_path / "a-1.tar", *_samples(1, 0, 1, 0, start=4))
    data = open_source(str(tmp_path), 0, 0.25)
    assert data.labels == ("0", "1") and not data.named and isinstance(data.parts, Undivided)
    assert Counter(data.held_out.classes.tolist()) == {0: 1, 1: 1} and len(data.train) == 6
    assert data.all.names[0] == "a-0.tar/dir/0000.png" and data.all.names[7] == "a-1.tar/dir/0007.png"
    assert [data.all.open(i).getpixel((0, 0))[0] for i in range(8)] == list(range(8))  # type: ignore[index]
    assert data.all.classes.tolist() == [0, 1, 0, 1, 1, 0, 1, 0] and data.all.groups.tolist() == [0] * 4 + [1] * 4  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["imagenet-{}-000.tar", "{}/000.tar", "{}_0.tar", "my.{}.tar"])
@pytest.mark.parametrize("val", ["val", "validation", "valid"])
def test_names_say_the_part(form: str, val: str, tmp_path: Path) -> None:
    for start, part in ((0, "train"), (10, val), (20, "test")):
        _tar(tmp_path / form.format(part), *_samples(0, 1, start=start))
    data = open_source(str(tmp_path))
    shades = {name: [data.split(name).open(i).getpixel((0, 0))[0] for i in range(2)] for name in ("train", "held-out", "test")}  # type: ignore[index]
    assert shades == {"train": [0, 1], "held-out": [10, 11], "test": [20, 21]}


def test_names_of_classes_beside(tmp_path: Path) -> None:
    _tar(tmp_path / "a.tar", *_samples(0, 2, 2))
    with pytest.raises(BadInput, match="no image of class 1") as caught:
        open_source(str(tmp_path))
    assert "classes.txt" in caught.value.hint
    (tmp_path / "classes.txt").write_text("cat\ndog\nred panda\n")
    data = open_source(str(tmp_path))
    assert data.labels == ("cat", "dog", "red panda") and data.named
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(BadInput, match=r"class 2 .* not in .*classes\.txt"):
        open_source(str(tmp_path))
    (tmp_path / "classes.txt").write_bytes(b"cat\n\xff\n")
    with pytest.raises(DamagedFile, match="not text in UTF-8"):
        open_source(str(tmp_path))


def test_what_else_a_sample_holds_is_never_opened(tmp_path: Path) -> None:
    """Also what WebDataset itself leaves alone: names without a dot, and its own."""
    bomb = b"cos\nsystem\n(S'touch /tmp/harm'\ntR."
    rest = [("a.pyd", bomb), ("a.pkl", bomb), ("a.json", b"{"), ("a.PNG", _image(9)), ("a.cls", b" 1\n"), ("a.txt", b"x")]
    ignored = [("README", b"hello"), ("__meta__", b"x"), ("__x__/y.txt", b"x"), (".DS_Store", b"x")]
    _tar(tmp_path / "a.tar", *ignored, *rest, *_samples(0, 1))
    data = open_source(str(tmp_path))
    assert data.all.classes.tolist() == [1, 0, 1] and data.all.open(0).getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a.png", b"x")], r"no class of 'a\.png'"),
        ([("a.cls", b"1")], "no images in the sample 'a'"),
        ([("a.jpg.gz", b"x"), ("a.cls", b"1")], "no images in the sample 'a'"),
        ([("a.png", b"x"), ("a.jpg", b"x"), ("a.cls", b"1")], "2 images in the sample 'a'"),
        ([("a.png", b"x"), ("a.cls", b"cat")], r"not a class number .*'a\.cls'"),
        ([("a.png", b"x"), ("a.cls", b"-1")], r"not a class number .*'a\.cls'"),
        ([("a.png", b"x"), ("a.cls", b"")], r"not a class number .*'a\.cls'"),
        ([("a.png", b"x"), ("a.cls", b"0" * 600)], r"not a class number .*'a\.cls'"),
        ([("a.png", b"x"), ("a.cls", "٣".encode())], r"not a class number .*'a\.cls'"),
        ([("a.png", b"x"), ("a.PNG", b"x"), ("a.cls", b"1")], r"twice in one sample: 'a\.PNG'"),
        ([("readme", b"x")], "no images in"),
        ([], "no images in"),
    ],
)
def test_a_sample_that_is_none(members: list[tuple[str, bytes]], words: str, tmp_path: Path) -> None:
    _tar(tmp_path / "a.tar", *members)
    with pytest.raises(DamagedFile, match=rf"{words}.*a\.tar|{words}"):
        open_source(str(tmp_path))


def test_a_bad_image_is_named_with_its_shard(tmp_path: Path) -> None:
    _tar(tmp_path / "a.tar", *_samples(0, 1), ("dir/x.jpg", b"no image"), ("dir/x.cls", b"0"))
    images = open_source(str(tmp_path)).all
    with pytest.raises(DamagedFile, match=r"dir/x\.jpg of a\.tar"):
        images.open(2)
    loader = Loader(images, Preprocess((8, 8), (8, 8)), "skip")
    assert len(loader.everything()[1]) == 2 and loader.skipped == ["a.tar/dir/x.jpg"]


# --- what is not shards, or no longer


def _beside(root: Path) -> None:
    _tar(root / "backup.tar", ("x", b""))


@pytest.mark.parametrize("way", ["folder per class", "parts", "unlabelled"])
def test_an_archive_beside_images_is_none_of_theirs(way: str, images: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(images, root / "train" if way == "parts" else root)
    _beside(root)
    (root / "index.json").write_text('{"wids_version": 1, "shardlist": []}')
    if way == "unlabelled":
        shutil.copy(root / "red" / "00.jpg", root / "00.jpg")
    assert not shards.recognises(str(root)) and len(open_source(str(root)).all) == 36


def test_other_sources_are_asked_first(made: Path, tmp_path: Path) -> None:
    assert not cifar.recognises(str(made)) and not huggingface.recognises(str(made))
    assert not shards.recognises(str(tmp_path)) and not shards.recognises(str(tmp_path / "gone"))


def _edited(copy: Path, change: Callable[[dict], object]) -> None:
    index = json.loads((copy / "index.json").read_text())
    change(index)
    (copy / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i: i.update(format="edgevit shards 2"), "another version"),
        (lambda i: i.update(more=1), "unknown field"),
        (lambda i: i.pop("labels"), "labels"),
        (lambda i: i.update(shards=[]), "without shards"),
        (lambda i: i.update(native_size=0), "0 pixels"),
        (lambda i: i.update(classes_sha256="../../x"), "no sha256"),
        (lambda i: i["shards"][0].update(sha256="0"), "no sha256"),
        (lambda i: i["shards"][0].update(name="../x.tar"), "not a plain name"),
        (lambda i: i["shards"][0].update(name="/etc/x.tar"), "not a plain name"),
        (lambda i: i["shards"][0].update(name="http:x.tar"), "not a plain name"),
        (lambda i: i["shards"][0].update(name="pipe:curl x.tar"), "not a plain name"),
        (lambda i: i["shards"][0].update(name=i["shards"][1]["name"]), "twice"),
        (lambda i: i["shards"][0].update(part="more"), "unknown part"),
        (lambda i: i["shards"][0].update(samples=0), "0 images"),
        (lambda i: i["shards"][0].update(samples=10**9), "images in"),
        (lambda i: i["shards"][0].update(samples=9), "not the classes"),
        (lambda i: i["shards"][0].update(bytes=20_480), r"has \d+ bytes, and by its index 20480"),
        (lambda i: i["shards"][0].update(name="gone.tar"), "no such shard"),
        (lambda i: i.update(labels=["a", "b"]), "class number 2"),
        (lambda i: i.update(labels=["a"]), "class number"),
    ],
)
def test_an_index_that_is_altered(change: Callable[[dict], object], words: str, copy: Path) -> None:
    _edited(copy, change)
    with pytest.raises(BadInput) as caught:
        open_source(str(copy))
    assert re.search(words, f"{caught.value.message} {caught.value.hint}"), caught.value.message


def test_classes_that_are_altered(copy: Path) -> None:
    content = (copy / "classes.u32").read_bytes()
    for other in (content[:-4], content + bytes(4), bytes([content[0] ^ 1]) + content[1:]):
        (copy / "classes.u32").write_bytes(other)
        with pytest.raises(DamagedFile, match=r"not the classes of the 36 images"):
            open_source(str(copy))


def test_shards_that_are_exchanged(copy: Path) -> None:
    """Of one size, with other images: it is seen by their classes, when one is read."""
    index = json.loads((copy / "index.json").read_text())
    content = {shard["name"]: [s["cls"] for s in _webdataset(copy / shard["name"])] for shard in index["shards"]}
    first = next(iter(content))
    other = next(name for name in content if content[name] != content[first] and (copy / name).stat().st_size == SMALL)
    shutil.copy(copy / other, copy / first)
    images = open_source(str(copy)).train
    with pytest.raises(DamagedFile, match=f"other images than its index says: {first}"):
        images.open(0)


def test_a_shard_that_is_cut_while_it_is_read(copy: Path) -> None:
    images = open_source(str(copy)).all
    images.open(0)
    name = images.names[0].partition("/")[0]
    (copy / name).write_bytes((copy / name).read_bytes()[:600])
    with pytest.raises(DamagedFile, match=rf"cut: .* of {name}"):
        images.open(0)
    (copy / name).unlink()
    with pytest.raises(DamagedFile, match="no such shard"):
        images.open(0)


def test_the_command(run_cli: RunCli, images: Path, tmp_path: Path) -> None:
    ran = run_cli("shards", images, tmp_path / "out", "--shard-mb", 0.02)
    assert ran.returncode == 0 and "train: 30 images in" in ran.stdout and "val: 6 images in" in ran.stdout, ran.stderr
    refused = run_cli("shards", tmp_path / "out", tmp_path / "out", "--force")
    assert refused.returncode == 2 and "read and replaced at once" in refused.stderr


def test_they_are_evaluated_as_the_folder_is(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    write(str(images), tmp_path / "out", SMALL, 0, 0.2, "refuse", False, silent)
    specs = (str(images), str(tmp_path / "out"))
    one, two = (evaluate(checkpoint, DataChoice(spec, "held-out", "refuse"), silent) for spec in specs)
    assert one.images == two.images == 6 and one.top1 == two.top1 and one.loss == pytest.approx(two.loss)


def test_they_are_trained_on(made: Path, tmp_path: Path) -> None:
    settings = TrainConfig(str(made), model="Pico/8", image_size=(16, 16), batch=8, epochs=1, device="cpu")
    found = fit(settings, tmp_path / "run", False)
    assert found.train and found.train.data == str(made.resolve()) and found.labels == ("blue", "green", "red")


def test_a_run_knows_them_by_their_index(copy: Path) -> None:
    """Which names every shard by its hash: no terabyte is read to see whether it has changed."""
    before = Contents(None).images(str(copy))
    assert before == folder.sha256(copy / "index.json")
    _edited(copy, lambda index: index.update(seed=9))
    assert before != Contents(None).images(str(copy)) != ""

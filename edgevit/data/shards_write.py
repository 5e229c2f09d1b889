"""Images of any source into shards: WebDataset's tar archives, with an index of edgevit's beside them.

Equal images, seed and size of a shard give equal archives, to the last byte.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path

import numpy as np

from edgevit import folder, record
from edgevit.data.dataset import Dataset, Images, Undivided
from edgevit.data.decoding import image_of
from edgevit.data.loading import Loader
from edgevit.data.shards_index import CLASS, FORMAT, INDEX, NAMES, NUMBERS
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Progress, Shard, ShardIndex

SOURCES = "sources.csv"
"""Which image of the source each sample was."""
ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
AT_ONCE = 64
BLOCK = 512
END = 20 * BLOCK
"""Bytes that an archive is filled up to a multiple of."""


@dataclass(frozen=True)
class Sample:
    name: str
    number: int
    content: bytes
    ending: str

    @property
    def bytes(self) -> int:
        """In the archive: a header and whole blocks for image and class."""
        return 3 * BLOCK + -(-len(self.content) // BLOCK) * BLOCK


def write(data: Dataset, out: Path, largest: int, seed: int, on_bad: str, progress: Progress) -> tuple[ShardIndex, list[str]]:
    """Write all parts of `data` into the folder `out`, in shards of about `largest` bytes: the index, and what was left out.

    The images of a part are in the order of a hash of seed and name. Raises DamagedFile for an unreadable image, unless it is
    left out by `on_bad` "skip"; BadInput where not one is left, or nothing can be set aside.
    """
    shards: list[Shard] = []
    classes: list[int] = []
    skipped: list[str] = []
    with (out / SOURCES).open("w", encoding="utf-8", errors="surrogateescape", newline="") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("sample", "source", "class"))
        for part, images in _parts(data).items():
            loader = _Originals(images, on_bad)
            for path, samples in _packed(loader.samples(_order(images, seed), progress), out, part, largest):
                shards.append(Shard(path.name, part, path.stat().st_size, folder.sha256(path), len(samples)))
                classes += [sample.number for sample in samples]
                rows.writerows((_key(path, nth), s.name, data.labels[s.number]) for nth, s in enumerate(samples))
            skipped += loader.skipped
            if not any(shard.part == part for shard in shards):
                raise BadInput(
                    f"not one image of {part} could be read", f"the first: {next(iter(loader.skipped), 'there is none')}"
                )
    np.array(classes, "<u4").tofile(out / NUMBERS)
    (out / NAMES).write_text("".join(f"{' '.join(label.split())}\n" for label in data.labels), encoding="utf-8")
    index = ShardIndex(
        FORMAT, data.labels, data.named, data.native_size, data.photos, seed, folder.sha256(out / NUMBERS), tuple(shards)
    )
    record.write(out / INDEX, index)
    return index, sorted(skipped)


def _parts(data: Dataset) -> dict[str, Images]:
    """What the source divides, or what is set aside of a source that does not."""
    if isinstance(data.parts, Undivided):
        return {"train": data.train, "val": data.held_out}
    parts = {"train": data.parts.train, "val": data.parts.held_out, "test": data.parts.test}
    return {name: images for name, images in parts.items() if images is not None and len(images)}


def _order(images: Images, seed: int) -> list[int]:
    def place(i: int) -> bytes:
        return hashlib.sha256(f"{seed}/shards/{images.names[i]}".encode(errors="surrogatepass")).digest()

    return sorted(range(len(images)), key=place)


class _Originals:
    """The files that images are, to the byte; of images that are no files, a PNG. Each is decoded once, to see that it can be."""

    def __init__(self, images: Images, on_bad: str) -> None:
        self.images, self.on_bad = images, on_bad
        self.skipped: list[str] = []
        Loader.require_known(on_bad)

    def samples(self, order: list[int], progress: Progress) -> Iterator[Sample]:
        with ThreadPoolExecutor(cpu_count()) as pool:
            for start in range(0, len(order), AT_ONCE):
                yield from filter(None, pool.map(self._sample, order[start : start + AT_ONCE]))
                progress("writing shards", min(start + AT_ONCE, len(order)), len(order))

    def _sample(self, i: int) -> Sample | None:
        name = self.images.names[i]
        try:
            content, ending = self._original(i, name)
        except DamagedFile as error:
            if self.on_bad == "refuse":
                raise DamagedFile(error.message, "--on-bad-image skip goes on without it") from error
            self.skipped.append(name)
            return None
        return Sample(name, int(self.images.classes[i]), content, ending)

    def _original(self, i: int, name: str) -> tuple[bytes, str]:
        if self.images.content:
            content = self.images.content(i)
            return content, ENDINGS[str(image_of(content, name).format)]
        file = io.BytesIO()
        self.images.open(i).save(file, "PNG")
        return file.getvalue(), "png"


def _packed(samples: Iterator[Sample], out: Path, part: str, largest: int) -> Iterator[tuple[Path, list[Sample]]]:
    """Shards as they are full: a sample that is larger than one has one of its own."""
    waiting: list[Sample] = []
    size, number = END, 0
    for sample in samples:
        if waiting and size + sample.bytes > largest:
            yield _shard(out / f"{part}-{number:06d}.tar", waiting)
            waiting, size, number = [], END, number + 1
        waiting.append(sample)
        size += sample.bytes
    if waiting:
        yield _shard(out / f"{part}-{number:06d}.tar", waiting)


def _shard(path: Path, samples: list[Sample]) -> tuple[Path, list[Sample]]:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for nth, sample in enumerate(samples):
            _add(archive, f"{_key(path, nth)}.{sample.ending}", sample.content)
            _add(archive, f"{_key(path, nth)}.{CLASS}", str(sample.number).encode())
    return path, samples


def _key(path: Path, nth: int) -> str:
    return f"{path.stem}-{nth:06d}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # of nobody, at no time: the archive is the same wherever it is written
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))

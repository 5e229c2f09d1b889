"""What a road begins with: a checkpoint that is there, one that is trained, or one of others' weights."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from edgevit import cache as caches
from edgevit import checkpoint as checkpoints
from edgevit.cache import Cache
from edgevit.errors import BadInput, DamagedFile
from edgevit.pipeline import road, training
from edgevit.pipeline.contents import Contents
from edgevit.pipeline.weights import import_weights
from edgevit.types import Checkpoint, ImportChoice, Progress, Road, TrainConfig


def checkpoint(asked: Road, out: Path, cache: Cache | None, progress: Progress) -> tuple[Checkpoint, str]:
    """The checkpoint, and when it was made where that was not now; empty for one that the road was given.

    One that is made lies in `out`, in a folder named by what it depends on: settings, images, weights to begin from. Another
    version of edgevit or of torch does not make it anew. Raises DamagedFile where its weights are not those of its record.
    """
    contents = Contents(cache)
    if asked.checkpoint:
        return _whole(asked.checkpoint, contents), ""
    if asked.train:
        return _trained(asked.train, out, contents, progress)
    assert asked.imported
    return _imported(asked.imported, out, contents, progress)


def _whole(path: Path, contents: Contents) -> Checkpoint:
    found = checkpoints.read(path)
    file = found.folder / checkpoints.WEIGHTS
    if not file.is_file():
        raise DamagedFile(f"no such file: {file}")
    looked = contents.file(file)
    if looked != found.weights_sha256:
        raise DamagedFile(f"{file}: its hash is not the one in {checkpoints.RECORD}", "the weights were changed after training")
    return found


def _trained(settings: TrainConfig, out: Path, contents: Contents, progress: Progress) -> tuple[Checkpoint, str]:
    images = contents.images(settings.data)
    begun = {name: contents.of(Path(path)) for name in ("start", "teacher") if (path := getattr(settings, name))}
    run = out / f"checkpoint-{_short({'train': _anywhere(settings), 'images': images or settings.data, **begun})}"
    if said := training.mend(run):
        progress(said, 1, 1)
    if training.can_go_on(run):
        training.resume({}, run, progress)
    elif _is_there(run):
        return _whole(run, contents), _made(run)
    else:
        training.train(settings, run, False, progress)
    return _whole(run, contents), ""


def _anywhere(settings: TrainConfig) -> dict[str, object]:
    """The settings without paths: what lies there counts, not where; and without who watched, and who said what."""
    found = dataclasses.replace(
        settings, data="", start=settings.start and "there", teacher=settings.teacher and "there", device="", tried={}
    )
    return {name: value for name, value in vars(found).items() if name not in ("watch", "said")}


def _imported(choice: ImportChoice, out: Path, contents: Contents, progress: Progress) -> tuple[Checkpoint, str]:
    """From a path, made anew where what lies there has changed; from the Hub, once."""
    source = contents.of(Path(choice.source)) or choice.source
    labels = contents.of(Path(choice.labels)) if choice.labels else ""
    depends = {"import": dataclasses.replace(choice, source="", labels=None), "weights": source, "labels": labels}
    made = out / f"checkpoint-{_short(depends)}"
    if _is_there(made):
        return _whole(made, contents), _made(made)
    import_weights(choice.source, road.options(choice), made, False, progress)
    return _whole(made, contents), ""


def _short(depends: object) -> str:
    return caches.key(depends)[:12]


def _is_there(path: Path) -> bool:
    try:
        checkpoints.find(path)
    except BadInput:
        return False
    return True


def _made(path: Path) -> str:
    """When the checkpoint in a folder was written."""
    written = (checkpoints.find(path) / checkpoints.RECORD).stat().st_mtime
    return datetime.datetime.fromtimestamp(written, datetime.UTC).isoformat(timespec="seconds")

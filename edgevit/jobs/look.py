"""Pictures and figures into a folder: what a checkpoint sees, and how good it is; and the same for the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevit import artifact as artifacts
from edgevit import checkpoint as checkpoints
from edgevit import record
from edgevit.data import HUB
from edgevit.data.decoding import open_image
from edgevit.data.loading import Loader
from edgevit.data.preprocess import denormalise, pixels
from edgevit.errors import BadInput, EdgevitError
from edgevit.folder import files_written_whole
from edgevit.jobs import answers, seen
from edgevit.jobs.evaluate import evaluate
from edgevit.pictures import evaluation as drawings
from edgevit.pictures.paper import LIGHT, Drawing
from edgevit.types import Artifact, Checkpoint, DataChoice, Drawn, EvalResult, Gallery, Inside, Preprocess, Progress

SAMPLES = 128
"""Images over which attention distance is averaged, as many as the paper took."""
FIGURES, ARRAYS = "explain.json", "arrays.npz"
EVALUATION = "evaluation.json"
IN_REPORT = 4
"""Images whose attention a report shows."""


def explain(checkpoint: Path, images: tuple[Path, ...], data: DataChoice | None, out: Path, progress: Progress) -> Inside:
    """Look into a checkpoint and at what it looks at in `images`; write PNGs, figures and arrays into `out`.

    Attention distance is measured on SAMPLES images of `data`, spread evenly, or on the `images` where there is no data.
    """
    source, model = checkpoints.load(checkpoint)
    given = _read(images, source.preprocess)
    sample = _sample(source, data, progress) if data else Sample(given, "the images that were named")
    found = seen.see(source, model, [str(path) for path in images], given, sample.pixels, sample.source, progress)
    inside = Inside(
        checkpoint=str(checkpoint),
        variant=source.config.variant,
        filters=found.filters,
        positions=found.positions,
        distances=found.distances,
        images=found.images,
        pictures=tuple(Drawn(_file(drawing), drawing.title, drawing.words) for drawing in found.drawings),
        notes=(*found.notes, *(f"skipped, unreadable: {name}" for name in sample.skipped)),
    )
    with files_written_whole(out) as partial:
        record.write(partial / FIGURES, inside)
        np.savez_compressed(partial / ARRAYS, **found.arrays)
        _draw(found.drawings, partial, progress)
    now = {_file(drawing) for drawing in found.drawings}
    for old in out.glob("attention-[0-9][0-9].png"):  # of an earlier call, with more images
        if old.name not in now:
            old.unlink()
    return inside


def _file(drawing: Drawing) -> str:
    return f"{drawing.name}.png"


def _draw(pictures: tuple[Drawing, ...], into: Path, progress: Progress) -> None:
    for number, drawing in enumerate(pictures, 1):
        (into / _file(drawing)).write_bytes(drawing.png(LIGHT))
        progress("drawing", number, len(pictures))


def _read(images: tuple[Path, ...], preprocess: Preprocess) -> np.ndarray:
    """(N, H, W, 3) uint8, cropped as the model sees them. Raises BadInput, DamagedFile."""
    for path in images:
        if not path.is_file():
            raise BadInput(f"no such image: {path}")
    read = [pixels(open_image(path), preprocess) for path in images]
    return np.stack(read) if read else np.zeros((0, *preprocess.crop, 3), np.uint8)


@dataclass(frozen=True)
class Sample:
    """`pixels` (M, H, W, 3) uint8, in words where they came from, and the names of those that could not be read."""

    pixels: np.ndarray
    source: str
    skipped: tuple[str, ...] = ()


def _sample(checkpoint: Checkpoint, data: DataChoice, progress: Progress) -> Sample:
    every = answers.images(checkpoint, data).images
    chosen = np.linspace(0, len(every) - 1, min(SAMPLES, len(every))).round().astype(int).tolist()
    few = Loader(every.take(chosen), checkpoint.preprocess, data.on_bad)
    found, _ = few.everything(progress)
    where = data.spec if data.split == "auto" else f"{data.split} of {data.spec}"
    return Sample(found, where, tuple(sorted(few.skipped)))


def draw_evaluation(found: EvalResult, out: Path, progress: Progress) -> list[str]:
    """Write the figures and their pictures into `out`: the names of the files."""
    pictures = (drawings.confusion(found), drawings.reliability(found))
    with files_written_whole(out) as partial:
        record.write(partial / EVALUATION, found)
        _draw(pictures, partial, progress)
    return [EVALUATION, *map(_file, pictures)]


def evaluated(artifact: Artifact, progress: Progress) -> tuple[EvalResult | None, Gallery]:
    """The checkpoint of an artifact on the images that it was checked on, for the report; or why that cannot be had."""
    if artifact.data.startswith(HUB):
        return None, Gallery(notes=(f"not measured: a report fetches nothing, and the images are {artifact.data}",))
    try:
        choice = DataChoice(artifact.data, artifact.split or "auto", "skip")
        found = evaluate(artifact.folder / artifact.checkpoint, choice, progress)
    except EdgevitError as error:
        return None, Gallery(notes=(f"not measured: {error.message}",))
    return found, seen.gallery((drawings.confusion(found), drawings.reliability(found)))


def inside(artifact: Artifact, progress: Progress) -> Gallery:
    """The checkpoint of an artifact looked into, with its golden images, for the report; or why that cannot be had."""
    try:
        source, model = checkpoints.load(artifact.folder / artifact.checkpoint)
        images = denormalise(artifacts.read_golden(artifact.folder, source.config).images, source.preprocess)
    except EdgevitError as error:
        return Gallery(notes=(f"not drawn: {error.message}",))
    names = [f"sample image {number}" for number in range(1, IN_REPORT + 1)]
    few = images[:IN_REPORT]
    found = seen.see(source, model, names[: len(few)], few, images, "the golden images", progress)
    return seen.gallery(found.drawings, found.notes)

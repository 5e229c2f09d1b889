"""A model looked into: the figures, and the drawings that go with them, for a folder of pictures or for the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edgevit.data.preprocess import normalise
from edgevit.inside import attention, weights
from edgevit.pictures import inside as pictures
from edgevit.pictures.paper import DARK, LIGHT, Drawing
from edgevit.types import Attended, Checkpoint, Distances, Filters, Gallery, Picture, Positions, Progress, ViTConfig
from edgevit.vit.model import ViT

TOP = 5
NO_IMAGES = "no images were named, and the checkpoint knows of none"


@dataclass(frozen=True)
class Seen:
    """`arrays` holds in full what the drawings show and the figures sum up."""

    filters: Filters
    positions: Positions
    distances: Distances
    images: tuple[Attended, ...]
    drawings: tuple[Drawing, ...]
    notes: tuple[str, ...]
    arrays: dict[str, np.ndarray]


def see(
    checkpoint: Checkpoint,
    model: ViT,
    names: Sequence[str],
    images: np.ndarray,
    sample: np.ndarray,
    source: str,
    progress: Progress,
) -> Seen:
    """Everything about `model`; the answers to `images` (N, H, W, 3) uint8, called `names`; the distances over `sample`

    (M, H, W, 3) uint8, which came from `source`.
    """
    filters, positions = weights.components(model), weights.positions(model)
    distances = _distances(checkpoint, model, sample, source, progress)
    attended = tuple(_attended(checkpoint, model, names, images, progress))
    drawn = (
        pictures.filters(filters.figures, filters.patterns),
        pictures.positions(positions.figures, positions.tiles, model.config.grid),
        pictures.distance(distances),
        *(
            pictures.attention(a, image, f"attention-{n:02d}")
            for n, (a, image) in enumerate(zip(attended, images, strict=True), 1)
        ),
    )
    return Seen(
        filters=filters.figures,
        positions=positions.figures,
        distances=distances,
        images=attended,
        drawings=tuple(drawing for drawing in drawn if drawing),
        notes=_notes(model.config, filters.figures, positions.figures, distances),
        arrays={
            "filters": filters.patterns,
            "positions": positions.tiles,
            "distances": np.array(distances.pixels),
            "rollouts": np.array([a.rollout for a in attended]),
        },
    )


def _notes(config: ViTConfig, filters: Filters, positions: Positions, distances: Distances) -> tuple[str, ...]:
    """What there is no picture of, and why."""
    alike = f"filters: those of the {filters.layer} are all alike, there is nothing to draw"
    nowhere, unmeasured = pictures.no_positions(positions), f"attention distance: not measured: {distances.reason}"
    merged = "attention: that of the same model without merging patches, since a merged one has no place"
    absent = (
        (merged, bool(config.merges)),
        (alike, not filters.shares),
        (nowhere, not positions.figure),
        (unmeasured, bool(distances.reason)),
    )
    return tuple(note for note, holds in absent if holds)


def _distances(checkpoint: Checkpoint, model: ViT, sample: np.ndarray, source: str, progress: Progress) -> Distances:
    even = attention.even_distance(model.config)
    if not len(sample):
        return Distances((), even, 0, "", NO_IMAGES)
    pixels = attention.distances(model, normalise(sample, checkpoint.preprocess), progress)
    return Distances(tuple(tuple(row) for row in pixels.tolist()), even, len(sample), source)


def _attended(
    checkpoint: Checkpoint, model: ViT, names: Sequence[str], images: np.ndarray, progress: Progress
) -> Iterable[Attended]:
    for number, (name, image) in enumerate(zip(names, images, strict=True), 1):
        batch = normalise(image[None], checkpoint.preprocess)
        rolled = attention.rollout(model, batch)
        labels, scores = _answers(checkpoint, model, batch)
        table = tuple(tuple(row) for row in rolled.patches[0].tolist())
        yield Attended(name, labels, scores, table, float(rolled.elsewhere[0]))
        progress("attention rollout", number, len(names))


def _answers(checkpoint: Checkpoint, model: ViT, batch: np.ndarray) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The likeliest classes of one image and their probabilities; none where the model has no head."""
    if not checkpoint.labels:
        return (), ()
    with torch.inference_mode():
        scores, classes = model(torch.from_numpy(batch))[0].double().softmax(0).topk(min(TOP, len(checkpoint.labels)))
    return tuple(checkpoint.labels[i] for i in classes.tolist()), tuple(scores.tolist())


def gallery(drawings: Iterable[Drawing], notes: tuple[str, ...] = ()) -> Gallery:
    """The drawings as a report carries them."""
    return Gallery(tuple(Picture(d.title, d.words, d.data_uri(LIGHT), d.data_uri(DARK)) for d in drawings), notes)

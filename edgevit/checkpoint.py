"""The checkpoint folder: `model.safetensors` and `checkpoint.json`, written whole, read strictly.

A pickle is never opened. Every tensor is checked against the config before it is used: name, shape, type, finiteness.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit import folder, record
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Checkpoint

if TYPE_CHECKING:
    import torch

    from edgevit.vit.model import ViT

RECORD = "checkpoint.json"
WEIGHTS = "model.safetensors"
QUANTIZED = "quantized.safetensors"
"""The integers of one that learned with the rounding of a recipe."""


def find(path: Path) -> Path:
    """The checkpoint folder that `path` means: itself, or the best one of a training run. Raises BadInput."""
    if path.is_file():
        _refuse_pickle(path)
        raise BadInput(f"a checkpoint is a folder: {path}", f"it holds {WEIGHTS} and {RECORD}")
    for candidate in (path, path / "best"):
        if (candidate / RECORD).is_file():
            return candidate
    if not path.exists():
        raise BadInput(f"no such checkpoint: {path}")
    raise BadInput(f"no checkpoint in {path}", f"expected {RECORD}, there or in its folder best")


def read(path: Path) -> Checkpoint:
    """The record of the checkpoint at `path`, without its weights."""
    return record.read(find(path) / RECORD, Checkpoint)


def load(path: Path) -> tuple[Checkpoint, ViT]:
    """The checkpoint at `path` and its model, in float32, on the CPU, in evaluation mode. Raises DamagedFile, BadInput."""

    from edgevit.vit.config import stored
    from edgevit.vit.model import ViT
    from edgevit.vit.unfilled import Unfilled

    checkpoint = read(path)
    file = checkpoint.folder / WEIGHTS
    tensors = read_tensors(file)
    described, held = stored(checkpoint.config), sum(t.numel() for t in tensors.values())
    if described > 2 * held:  # a forged size would fill the memory before any tensor could be compared
        raise DamagedFile(f"{file}: holds {held} values, where its config describes {described}")
    with Unfilled():
        model = ViT(checkpoint.config)
    match(tensors, {name: tuple(t.shape) for name, t in model.state_dict().items()}, file)
    if folder.sha256(file) != checkpoint.weights_sha256:
        raise DamagedFile(f"{file}: its hash is not the one in {RECORD}", "the weights were changed after training")
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return checkpoint, model.eval()


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file. Raises DamagedFile for a missing, cut or foreign one, and for a pickle."""
    import safetensors
    import safetensors.torch

    if not file.is_file():
        raise DamagedFile(f"no such file: {file}")
    _refuse_pickle(file)
    try:
        return safetensors.torch.load_file(file)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise DamagedFile(f"{file}: no whole safetensors file ({error})") from error


def match(tensors: dict[str, torch.Tensor], shapes: dict[str, tuple[int, ...]], file: Path) -> None:
    """Raise DamagedFile unless `tensors` are exactly the float tensors that `shapes` names, with finite values."""
    for kind, names in (("missing", shapes.keys() - tensors.keys()), ("unexpected", tensors.keys() - shapes.keys())):
        if names:
            raise DamagedFile(f"{file}: {kind} tensor: {', '.join(sorted(names)[:5])}", "the weights and the config disagree")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise DamagedFile(f"{file}: {name} has shape {tuple(tensor.shape)}, expected {shape}")
        if not tensor.is_floating_point():
            raise DamagedFile(f"{file}: {name} has type {tensor.dtype}, expected a float type")
        if not tensor.isfinite().all():
            raise DamagedFile(f"{file}: {name} holds NaN or infinity")


def save(into: Path, model: ViT, checkpoint: Checkpoint) -> Checkpoint:
    """Write weights and record into the folder `into`; the returned record knows folder and hashes, also of integers there.

    `into` is a folder of `folder.written_whole`, which makes the whole appear at once.
    """
    write_tensors({name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}, into / WEIGHTS)
    return describe(into, checkpoint)


def describe(into: Path, checkpoint: Checkpoint) -> Checkpoint:
    """Write the record beside the weights that are in the folder `into`."""
    import dataclasses

    integers = folder.sha256(into / QUANTIZED) if (into / QUANTIZED).exists() else ""
    checkpoint = dataclasses.replace(
        checkpoint, weights_sha256=folder.sha256(into / WEIGHTS), quantized_sha256=integers, folder=into
    )
    record.write(into / RECORD, checkpoint)
    return checkpoint


def write_tensors(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Raises OSError where the disk is full, which safetensors says in words alone."""
    import safetensors
    import safetensors.torch

    try:
        safetensors.torch.save_file(tensors, file, {"format": "pt"})
    except safetensors.SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(file)) from error


def _refuse_pickle(file: Path) -> None:
    """A safetensors file begins with any length, in 8 bytes, and then a brace: it may look like a pickle up to there."""
    with file.open("rb") as handle:
        head = handle.read(9)
    if head[8:] != b"{" and (head[:2] == b"PK" or head[:1] == b"\x80"):
        raise DamagedFile(f"a pickle, and edgevit opens none: {file}", "a pickle can run any code; save it as safetensors")

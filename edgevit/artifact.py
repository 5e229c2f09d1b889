"""The artifact folder: model file, golden inputs and logits, `artifact.json`; written whole, verified by hash when read."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit import folder, record
from edgevit.errors import BadInput, DamagedFile
from edgevit.types import Artifact, ViTConfig

if TYPE_CHECKING:
    import numpy as np

RECORD = "artifact.json"
QUANTIZED = "quantized.safetensors"
"""What the recipe made of the checkpoint, which the model file holds in its own way."""
GOLDEN = "golden.safetensors"
PROFILE = "profile.json"
"""Where the time goes, if somebody asked to keep it."""
MOST_GOLDEN = 1024
"""Images of a golden batch."""


@dataclass(frozen=True)
class Golden:
    """A few held-out images (N, 3, H, W) float32 as the model takes them, their true classes (N), and the logits (N, classes)

    of the checkpoint and, once it has run, of the artifact.
    """

    images: np.ndarray
    classes: np.ndarray
    logits: np.ndarray
    artifact_logits: np.ndarray | None = None


def model_file(artifact: Artifact) -> Path:
    """The exported file (a folder for .mlpackage). Raises BadInput where the export failed and left none."""
    if artifact.file is None:
        raise BadInput(f"{artifact.folder} holds no model: {artifact.outcome.value}", artifact.reason)
    return artifact.folder / artifact.file


def read(path: Path) -> Artifact:
    """The record in the folder `path`, unverified. Raises BadInput where there is none, DamagedFile where it is not one."""
    if not (path / RECORD).is_file():
        raise BadInput(f"no artifact in {path}", f"expected a folder with {RECORD}, as edgevit export makes it")
    return record.read(path / RECORD, Artifact)


def write(into: Path, artifact: Artifact) -> Artifact:
    """The record into the folder `into`, sealed; returns it."""
    artifact = dataclasses.replace(artifact, seal=_seal(artifact))
    record.write(into / RECORD, artifact)
    return artifact


def _seal(artifact: Artifact) -> str:
    return _digest(dataclasses.replace(artifact, seal="", folder=Path()))


def identity(artifact: Artifact, varies: bool) -> str:
    """The hash of what was made, from what, by which versions. Not of a model file of which two differ anyway (`varies`)."""
    measured = (GOLDEN, PROFILE)
    files = {name: digest for name, digest in artifact.files.items() if name not in measured}
    if varies:
        files = {name: digest for name, digest in files.items() if name.partition("/")[0] != artifact.file}
    made = (artifact.target, artifact.input, artifact.quantization, artifact.config, artifact.preprocess, artifact.labels)
    return _digest([*made, artifact.checkpoint_sha256, artifact.calibration_sha256, files, artifact.versions])


def _digest(value: object) -> str:
    return hashlib.sha256(record.encode(value)).hexdigest()


def verify(artifact: Artifact) -> Artifact:
    """Raise DamagedFile unless the folder holds exactly the files of the record, each with its hash, and the record agrees

    with itself.
    """
    for path in sorted(artifact.folder.rglob("*")):
        if not (path.is_file() or path.is_dir() or path.is_symlink()):  # of links, hashes says more
            raise DamagedFile(f"neither a file nor a folder: {path}", "an artifact holds nothing else")
    found = folder.hashes(artifact.folder, leave_out=(RECORD,))
    for name in sorted(artifact.files.keys() | found.keys()):
        if name not in found:
            raise DamagedFile(f"missing from the artifact: {artifact.folder / name}", "export it again")
        if name not in artifact.files:
            raise DamagedFile(f"not part of the artifact: {artifact.folder / name}", "remove it, or export again")
        if found[name] != artifact.files[name]:
            raise DamagedFile(f"changed since the export: {artifact.folder / name}", "its sha256 differs; export it again")
    if artifact.file not in {name.partition("/")[0] for name in found}:
        raise DamagedFile(f"{artifact.folder / RECORD}: its file is not among its files: {artifact.file}")
    if GOLDEN not in found and artifact.file:
        raise DamagedFile(f"missing from the artifact: {artifact.folder / GOLDEN}", "export it again")
    recipe = artifact.quantization
    if recipe is None or recipe.name != artifact.recipe:
        raise DamagedFile(f"{artifact.folder / RECORD}: {artifact.recipe} is not the recipe that it holds", "export it again")
    if recipe.quantizes and QUANTIZED not in found and artifact.file:
        raise DamagedFile(f"missing from the artifact: {artifact.folder / QUANTIZED}", "export it again")
    config, preprocess = artifact.config, artifact.preprocess
    if not (config and preprocess and preprocess.crop == config.image_size and len(artifact.labels) == config.classes):
        raise DamagedFile(f"{artifact.folder / RECORD}: its config, preprocess and labels do not go together")
    if artifact.seal != _seal(artifact):
        raise DamagedFile(f"changed since the export: {artifact.folder / RECORD}", "its own sha256 differs; export it again")
    return artifact


def write_golden(into: Path, golden: Golden) -> None:
    import safetensors.numpy

    tensors = {name: value for name, value in vars(golden).items() if value is not None}
    (into / GOLDEN).write_bytes(safetensors.numpy.save(tensors))


def read_golden(artifact_folder: Path, config: ViTConfig) -> Golden:
    """The golden batch of a model of that shape. Raises DamagedFile for what is none; sizes and types are looked at first."""
    import safetensors

    path = artifact_folder / GOLDEN
    try:
        with safetensors.safe_open(path, "numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
            _require_golden(found, config)
            golden = Golden(**{name: file.get_tensor(name) for name in found})
    except (OSError, safetensors.SafetensorError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path}: no golden batch ({error})", "export it again") from error
    numbers = (golden.images, golden.logits)
    if not all(bool((abs(values) < float("inf")).all()) for values in numbers) or not _known(golden.classes, config):
        raise DamagedFile(f"{path}: no golden batch (values that no image, logit or class has)", "export it again")
    return golden


def _require_golden(found: dict[str, tuple[str, tuple[int, ...]]], config: ViTConfig) -> None:
    """Raise ValueError unless these are the types and shapes of a golden batch."""
    n = found["images"][1][0] if found.get("images", ("", ()))[1] else 0
    wanted = {"images": ("F32", (n, 3, *config.image_size)), "classes": ("I64", (n,)), "logits": ("F32", (n, config.classes))}
    if "artifact_logits" in found:
        wanted["artifact_logits"] = wanted["logits"]
    if found != wanted or not 0 < n <= MOST_GOLDEN:
        raise ValueError(f"it holds {found}"[:200])


def _known(classes: np.ndarray, config: ViTConfig) -> bool:
    return bool(((classes >= 0) & (classes < config.classes)).all())

"""Weight files, whoever wrote them: safetensors (whole or in shards), Google's npz, and pickles of tensors alone.

A file is hostile until its tensors are checked. Nothing it holds is run: a pickle (`.pth`, `.pt`, `.bin`) goes through torch's
`load(weights_only=True)`, which builds tensors and nothing else. And its tensors take about as much memory as it has bytes; those
of a compressed npz at most `archive.EXPANSION` times as much, where that is more than `archive.FREE` bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgevit import record
from edgevit.errors import BadInput, DamagedFile
from edgevit.vit.foreign import archive
from edgevit.vit.foreign.said import Given

KINDS: dict[str, Callable[[Path], dict[str, Tensor]]] = {}
"""Readers by the end of the file's name; filled below."""

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PREFERRED = (WHOLE, INDEX, "pytorch_model.bin")
"""The names that a folder's own weights have, where it holds several files."""

OURS = "checkpoint.json"

CONFIG = "config.json"
OF_FORMATS = {"architecture", "architectures", "model_type", "pretrained_cfg", "model_args"}
"""Fields of the configs that timm and transformers put beside their weights, one of which each of them has."""

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Types of what a weight file may hold, by safetensors' names: every operation that checks them knows these."""

SHARED, SLACK = 2, 1 << 20
"""Times its file's size, and bytes more, that the tensors of a pickle may take: a few of them are often the same one."""

OTHER = "it was cut or altered, or is of another program"


@dataclass(frozen=True)
class ShardIndex:
    """`model.safetensors.index.json`: the file that holds each tensor."""

    weight_map: dict[str, str]


def opened(path: Path, origin: str) -> Given:
    """The tensors of a weight file, or of the one that a folder holds. Raises BadInput, DamagedFile."""
    if not path.exists():
        raise BadInput(
            f"no such file or folder: {path}", "SOURCE is a weight file, its folder, or owner/name on the Hugging Face Hub"
        )
    file = _chosen(path) if path.is_dir() else path
    read = next((reader for ending, reader in KINDS.items() if file.name.lower().endswith(ending)), None)
    if read is None:
        raise BadInput(f"no weight file that edgevit reads: {file}", f"it ends in one of {', '.join(KINDS)}")
    folder = path if path.is_dir() else _told(path)
    tensors = read(file)
    if len(tensors) > archive.MEMBERS:
        raise DamagedFile(f"{file}: {len(tensors)} tensors, no file of a model's weights")
    return Given(tensors, file, folder, origin, beside=folder is not None and folder != path)


def _told(file: Path) -> Path | None:
    """The folder of a file whose config lies beside it; a config of something else says nothing of it."""
    config = file.parent / CONFIG
    if not config.is_file():
        return None
    fields = _foreign(config, dict[str, Any])
    return file.parent if OF_FORMATS & fields.keys() else None


def _chosen(folder: Path) -> Path:
    """The weight file of a folder: that of the usual name, else the only one of the best kind."""
    if (folder / OURS).is_file():
        raise BadInput(f"already a checkpoint of edgevit's: {folder}", "every command takes it as it is")
    for name in PREFERRED:
        if (folder / name).is_file():
            return folder / name
    for ending in KINDS:
        found = sorted(file for file in folder.iterdir() if file.name.lower().endswith(ending) and file.is_file())
        if len(found) == 1:
            return found[0]
        if found:
            raise BadInput(
                f"several weight files in {folder}: {', '.join(f.name for f in found[:5])}", "give the path of one of them"
            )
    raise BadInput(f"no weight file in {folder}", f"it ends in one of {', '.join(KINDS)}")


def read_config(folder: Path | None, name: str, kind: type[Any]) -> Any:
    """What `kind` knows of a JSON file beside the weights, or `kind()` where there is none. Raises DamagedFile."""
    return _foreign(folder / name, kind) if folder and (folder / name).is_file() else kind()


def _foreign(file: Path, kind: type[Any]) -> Any:
    """A JSON file of others, of which no version of edgevit is to blame. Raises DamagedFile."""
    try:
        return record.read_foreign(file, kind)
    except DamagedFile as error:
        raise DamagedFile(error.message, OTHER) from error


def _safetensors(file: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    with file.open("rb") as handle:
        head = handle.read(9)
    if head[8:] != b"{":
        raise DamagedFile(f"{file}: no safetensors file", "its first bytes are of another kind; give the file its right name")
    try:
        with safetensors.safe_open(file, "pt") as header:
            kinds = {name: header.get_slice(name).get_dtype() for name in header.keys()}  # noqa: SIM118 it is no dictionary
        _require_plain_types(file, {name: kind for name, kind in kinds.items() if kind not in DTYPES})
        return safetensors.torch.load_file(file)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise DamagedFile(f"{file}: no whole safetensors file ({error})") from error


def _require_plain_types(file: Path, odd: dict[str, Any]) -> None:
    for name, kind in odd.items():
        raise DamagedFile(f"{file}: {name} has type {kind}", "edgevit reads float64, float32, float16 and bfloat16")


def _shards(index: Path) -> dict[str, Tensor]:
    """Every file that the index names lies beside it: another place is no part of the source."""
    named = _foreign(index, ShardIndex).weight_map
    found: dict[str, Tensor] = {}
    for name in sorted(set(named.values())):
        file = index.parent / name
        if Path(name).name != name or not name.endswith(".safetensors") or not file.is_file():
            raise DamagedFile(f"{index}: no such file beside it: {name}")
        found |= _safetensors(file)
    return found


def _pickle(file: Path) -> dict[str, Tensor]:
    """A pickle by torch's own reader of tensors alone, which builds nothing else."""
    archive.require_honest_zip(file)
    _require_no_buffers(file)
    try:
        value = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # it raises whatever it trips over in a malformed file
        words = str(error).strip().splitlines() or [""]
        hint = "edgevit opens a pickle only for its tensors, since it can run any code; save them as safetensors"
        raise DamagedFile(f"{file}: no pickle of tensors alone ({type(error).__name__}: {words[0][:160]})", hint) from error
    return _plain(file, value)


def _plain(file: Path, value: object) -> dict[str, Tensor]:
    """The dictionary of tensors itself, or the one that a training script put under `model` or `state_dict`."""
    for key in ("model", "state_dict"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
        raise DamagedFile(f"{file}: no dictionary of tensors by name")
    for name, tensor in value.items():
        if not isinstance(tensor, Tensor) or not _stored(tensor):
            raise DamagedFile(f"{file}: {name} is no plain tensor", "a weight file holds dense tensors, each with all its values")
    _require_plain_types(file, {name: t.dtype for name, t in value.items() if t.dtype not in DTYPES.values()})
    _require_as_many_bytes(file, value)
    return {name: tensor.detach() for name, tensor in value.items()}


def _stored(tensor: Tensor) -> bool:
    """Whether all values are there: a view with stride 0 has a shape that could fill any memory."""
    if tensor.is_nested or tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _require_as_many_bytes(file: Path, tensors: dict[str, Tensor]) -> None:
    """Many tensors may share one storage; once each is a weight of its own, so much of a small file fills any memory."""
    needed, there = sum(t.numel() * t.element_size() for t in tensors.values()), file.stat().st_size
    if needed > SHARED * there + SLACK:
        raise DamagedFile(f"{file}: its tensors would take {needed >> 10} KiB, but the file has {there >> 10} KiB")


def _require_no_buffers(file: Path) -> None:
    """A `bytearray` of any length takes ten bytes of a pickle; torch's reader would make it, and no tensor needs one."""
    if archive.holds(file, b"bytearray"):
        raise DamagedFile(f"{file}: no pickle of tensors alone (it makes a bytearray)", "save the tensors as safetensors")


KINDS |= {
    ".safetensors": _safetensors,
    ".safetensors.index.json": _shards,
    ".npz": archive.read_npz,
    ".pth": _pickle,
    ".pt": _pickle,
    ".bin": _pickle,
}

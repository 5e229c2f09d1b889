"""Tensors that are spread over several workers, to and from the files of one checkpoint, by torch.distributed.checkpoint.

The files are plain safetensors, the same as one worker alone would have written: whoever goes on may be more or fewer, or one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from edgevit import checkpoint as checkpoints
from edgevit.errors import DamagedFile
from edgevit.training.run_settings import STATE
from edgevit.training.workers import Workers

PARTS = "parts"
"""A folder inside the one that is written, while the workers write."""


def write(into: Path, weights: dict[str, Tensor], state: dict[str, Tensor], crew: Workers) -> None:
    """Write both files into the folder `into` of the first worker, which all see. Every worker comes here."""
    parts = Path(crew.said(str(into))) / PARTS
    files = {1: weights, 2: state} if state else {1: weights}
    numbers = {name: number for number, tensors in files.items() for name in tensors}
    writer = HuggingFaceStorageWriter(str(parts), numbers, save_distributed=True, enable_consolidation=True)
    tensors = {name: tensor.detach() for tensors in files.values() for name, tensor in tensors.items()}
    save(tensors, storage_writer=writer)
    crew.wait()
    if crew.first:
        for number, name in ((1, checkpoints.WEIGHTS), (2, STATE)):
            if number in files:
                os.replace(parts / f"model-{number:05d}-of-{len(files):05d}.safetensors", into / name)
        shutil.rmtree(parts)


def read(last: Path, weights: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Fill the tensors from the files of the checkpoint `last`: each worker its own part. Raises DamagedFile."""
    wanted = {name: tensor.detach() for tensors in (weights, state) for name, tensor in tensors.items()}
    try:
        load(wanted, storage_reader=HuggingFaceStorageReader(str(last)))
    except CheckpointException as error:
        raise DamagedFile(f"{last}: not the checkpoint of such a training ({str(error).splitlines()[0]})"[:300]) from error

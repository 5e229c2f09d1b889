"""Several processes that train one model, each on a part of every batch: how they meet, agree and add up.

They are started by torchrun, on one machine or many. One process alone is the same, and none of this costs it anything.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from edgevit.errors import BadInput
from edgevit.training import ranks

PLACE = "edgevit/addresses"
PATIENCE = 300.0
"""Seconds in which the first worker has to come."""


@dataclass(frozen=True)
class Workers:
    """`rank` of `count`; `device` is this one's own."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def said(self, text: str, by: int = 0) -> str:
        """What one worker says, the first or the one of that rank, to all."""
        if self.count == 1:
            return text
        data = torch.tensor(list(text.encode()), dtype=torch.uint8)
        length = torch.tensor(len(data))
        dist.broadcast(length, by)
        data = data if self.rank == by else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(data, by)
        return bytes(data.tolist()).decode()

    def named(self, names: Sequence[str]) -> tuple[str, ...]:
        """What any of the workers names, sorted; each once."""
        told = [json.loads(self.said(json.dumps(names), rank)) for rank in range(self.count)]
        return tuple(sorted({name for one in told for name in one}))

    def total(self, values: Tensor) -> Tensor:
        """The sum of a tensor on the CPU over all workers."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def largest(self, value: int) -> int:
        if self.count == 1:
            return value
        found = torch.tensor(value)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: str) -> Iterator[Workers]:
    """The workers of this training, met. `device` as the user says it; with several on a machine, each has a GPU of its own."""
    workers = Workers(ranks.rank(), ranks.count(), choose_device(device))
    if workers.count == 1:
        yield workers
        return
    backends = "cpu:gloo,cuda:nccl" if workers.device.type == "cuda" else "gloo"
    dist.init_process_group(backends, store=_store(workers.first), rank=workers.rank, world_size=workers.count)
    try:
        yield workers
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _store(first: bool) -> Store:
    """Where the workers leave their addresses: a new one, which the first worker keeps.

    torchrun's own outlives a worker that died, with the addresses that the dead have left (torch 2.13), and those who are started
    anew would call them. So it only says where the new one is; what it says from before leads to nobody.
    """
    known, _, count = next(rendezvous("env://"))
    host = os.environ["MASTER_ADDR"]
    if first:
        own: Store = dist.TCPStore(host, 0, count, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        known.set(PLACE, str(own.port))  # type: ignore[attr-defined]
        return own
    deadline = time.monotonic() + PATIENCE
    while True:
        known.wait([PLACE])
        try:
            port, soon = int(known.get(PLACE)), datetime.timedelta(seconds=2)
            return dist.TCPStore(host, port, count, is_master=False, timeout=soon)  # type: ignore[attr-defined, no-any-return]
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises BadInput for a device that is not there."""
    if name in ("auto", "cuda") and torch.cuda.is_available() and ranks.count() > 1:
        return _own_gpu()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(f"no such device here: {name}", "--device auto takes the GPU where there is one") from error
    return device


def _own_gpu() -> torch.device:
    if ranks.local() >= torch.cuda.device_count():
        hint = "torchrun --nproc-per-node gpu starts one worker for each"
        raise BadInput(f"worker {ranks.local()} of this machine has no GPU: there are {torch.cuda.device_count()}", hint)
    torch.cuda.set_device(ranks.local())
    return torch.device("cuda", ranks.local())


def replicated(module: nn.Module, workers: Workers) -> nn.Module:
    """A module whose gradients are the mean of all workers'; itself where there is one."""
    if workers.count == 1:
        return module
    device = [workers.device.index] if workers.device.type == "cuda" else None
    return DistributedDataParallel(module, device, broadcast_buffers=False, gradient_as_bucket_view=True)


def shard(module: nn.Module, blocks: list[nn.Module], workers: Workers, *entered: str) -> None:
    """Let each worker keep a part of every parameter of `module` (FSDP2), in place: whole, a block is there while it computes.

    `entered` are methods of the module that compute, besides its forward.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(workers.device.type, (workers.count,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)  # torch leaves the outermost whole, and its parameters others
    for name in entered:
        register_fsdp_forward_method(module, name)

"""What a step is on the device: nothing in it waits for what the device has computed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgevit.training import optimiser, workers
from edgevit.training.objective import Objective
from edgevit.training.run_folder import Learner
from edgevit.training.workers import Workers
from edgevit.types import TrainConfig


class Engine:
    """Steps of one training, of a resolved `train` whose model is on the device and, where it is to be, sharded."""

    def __init__(self, train: TrainConfig, learner: Learner, objective: Objective, crew: Workers) -> None:
        assert train.batch
        self.train, self.learner, self.objective, self.crew = train, learner, objective, crew
        self.sharded = sharded(train, crew)
        self.module: nn.Module = objective if self.sharded else workers.replicated(objective, crew)
        self.full = -(-train.batch // crew.count)
        self.fast = torch.compile(self.module) if compiles(train, crew) and not self.sharded else self.module
        self.norms = torch.zeros((), device=crew.device)
        if train.precision == "bfloat16" and crew.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # what is left in float32 is no more exact than what goes in

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.crew.device.type, torch.bfloat16, enabled=self.train.precision == "bfloat16")

    def learn(self, prepared: tuple[Tensor, ...], share: float, more: bool) -> Tensor:
        """The mean loss of a batch, whose gradient is added to those before it.

        `share`: of all images of the step, those of this batch and worker. `more`: another batch of the step comes.
        """
        module = self.fast if len(prepared[0]) == self.full else self.module  # another size would be compiled anew
        with self._alone(more):
            with self.autocast():
                loss: Tensor = module(*prepared)
            (loss * (share * self.crew.count)).backward()  # the mean over the workers comes after
        return loss.detach()

    def step(self, number: int, steps: int) -> float:
        """Step `number` of `steps` by the gradients so far; its rate."""
        train, learner = self.train, self.learner
        assert train.lr and train.warmup is not None
        rate = optimiser.learning_rate(number, steps, train.lr, train.warmup)
        optimiser.set_rate(learner.optimiser, rate)
        learned = [p for group in learner.optimiser.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(learned, optimiser.CLIP)
        self.norms += norm.full_tensor() if self.sharded else norm  # type: ignore[attr-defined]
        learner.optimiser.step()
        learner.optimiser.zero_grad(set_to_none=True)
        if learner.average:
            learner.average.follow(learner.model, number)
        return rate

    @contextlib.contextmanager
    def _alone(self, more: bool) -> Iterator[None]:
        """The workers add their gradients up with the last batch of a step, and not before."""
        if self.sharded:
            self.objective.set_requires_gradient_sync(not more)  # type: ignore[operator]
        if more and not self.sharded and self.crew.count > 1:
            with self.module.no_sync():  # type: ignore[operator]
                yield
        else:
            yield


def sharded(train: TrainConfig, crew: Workers) -> bool:
    return train.parallel == "fsdp" and crew.count > 1


def compiles(train: TrainConfig, crew: Workers) -> bool:
    """Where it was not said: on a GPU, where a minute of compiling is won back soon; on a CPU it gains nothing."""
    return crew.device.type == "cuda" if train.compile is None else train.compile

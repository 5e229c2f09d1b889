"""What the tests of foreign weights share: random numbers that show every mistake, and the way in without a child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from edgevit.vit.foreign.asked import Asked, Resize
from edgevit.vit.foreign.bring import bring
from edgevit.vit.foreign.files import opened
from edgevit.vit.foreign.settled import Settled
from edgevit.vit.model import ViT


@dataclass(frozen=True)
class Taken:
    """A model that was read from foreign weights, in float32, with what was settled about it."""

    model: ViT
    settled: Settled

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.model(images)


Take = Callable[..., Taken]


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def take() -> Take:
    """`take(path, asked)`: what `edgevit import` does, all but the writing."""

    def run(path: Path, asked: Asked | None = None) -> Taken:
        found = bring(opened(path, str(path)), asked or Asked())
        model = ViT(found.settled.config)
        model.load_state_dict(found.tensors)
        return Taken(model.eval(), found.settled)

    return run


@pytest.fixture(scope="session")
def shuffle() -> Callable[[torch.nn.Module, int], torch.nn.Module]:
    """Fill every parameter with noise, the scales of norms around one: zeros and ones would hide a mistake."""

    def fill(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                noise = torch.randn(parameter.shape, generator=random)
                scale = parameter.dim() == 1 and "norm" in name and name.endswith("weight")
                parameter.copy_(1 + 0.2 * noise if scale else 0.15 * noise)
        return module.eval()

    return fill


@pytest.fixture(scope="session")
def told() -> Asked:
    """Everything that a file without a config leaves open, but for the labels and the attention heads."""
    return Asked((0.5,) * 3, (0.5,) * 3, Resize((36, 36), "keep"), "bicubic")


@pytest.fixture
def with_labels(tmp_path: Path) -> Callable[[int], Path]:
    """A file with the names of so many classes."""

    def write(count: int) -> Path:
        file = tmp_path / f"labels-{count}.txt"
        file.write_text("".join(f"thing {n}\n" for n in range(count)))
        return file

    return write

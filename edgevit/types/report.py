"""All that a report shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgevit.types.bench import Latency
from edgevit.types.deploy import Artifact
from edgevit.types.device import BenchRules, DeviceFacts
from edgevit.types.look import Gallery
from edgevit.types.measure import EvalResult, Profile
from edgevit.types.road import Held
from edgevit.types.train import Checkpoint


@dataclass(frozen=True)
class Sample:
    """A held-out image of the report: a PNG as a data URI, the truth, and what each model answered, by name."""

    picture: str
    truth: str
    answers: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Everything the reader of a report sees; `report.json` is this record.

    The number in `schema` grows when a field goes or changes its meaning, not when one is added.
    """

    schema: Literal["edgevit-report/1"] = field(default="edgevit-report/1", kw_only=True)
    title: str
    made: str
    machine: str
    command: str
    checkpoint: Checkpoint
    parameters: int
    artifacts: tuple[Artifact, ...]
    latencies: tuple[Latency, ...]
    samples: tuple[Sample, ...]
    curve: tuple[dict[str, float], ...] = ()
    """One row for each epoch: epoch, loss, val_loss, val_top1."""
    evaluation: EvalResult | None = None
    """The checkpoint on its held-out images."""
    evaluated: Gallery = field(default_factory=Gallery)
    """Pictures of the evaluation, or why there is none."""
    inside: Gallery = field(default_factory=Gallery)
    """Pictures of what the checkpoint sees."""
    devices: tuple[DeviceFacts, ...] = ()
    """Those that the latencies were measured on."""
    rules: BenchRules | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)
    """Those that artifacts keep, by the artifact's name."""
    held: tuple[Held, ...] = ()
    """The limits of a road beside their figures; none where nobody set one."""

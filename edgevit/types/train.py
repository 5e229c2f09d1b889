"""How a model came to be: its training and its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgevit.types.model import GELUS, POOLS, POSITIONS, Preprocess, Size, ViTConfig, require

PRESETS = ("auto", "pretrain", "scratch", "finetune", "paper", "probe", "quantize")
AUGMENTS = ("none", "light", "photo", "strong")
DISTILS = ("none", "soft", "token", "answers")
WATCHERS = ("tensorboard", "wandb", "mlflow")
"""Who may follow a training, besides the story in its own folder."""


EXECUTION = ("device", "compile", "recompute", "parallel", "save_minutes", "watch")
"""Settings of what a training is computed by: a run may go on with others."""


@dataclass(frozen=True)
class TrainConfig:
    """How a checkpoint is trained. What is None is derived by `training.recipe` from the preset, the data and the model.

    Rates are fractions: `warmup` of all steps, `held_out` and `fraction` of each class's images, `mixup`, `cutmix` and
    `erasing` of the batches or images they touch, `drop_path` of the last block's residual branches, `ema` of the average that is
    kept at each step.
    """

    data: str
    preset: str = "auto"
    start: str | None = None
    """The checkpoint whose encoder the training begins from."""
    keep_head: bool = False
    freeze: bool | None = None
    """Whether the head alone learns: a linear probe."""
    model: str | None = None
    image_size: Size | None = None
    pool: str | None = None
    positions: str | None = None
    registers: int | None = None
    gelu: str | None = None
    representation: int | None = None
    keep_patches: float | None = None
    """Share of the patches that are left where the model merges those that are alike; None: as the checkpoint it begins from."""
    epochs: int | None = None
    batch: int | None = None
    accumulate: int = 1
    """Batches whose gradients make one step."""
    optimiser: str | None = None
    lr: float | None = None
    weight_decay: float | None = None
    layer_decay: float | None = None
    """Factor of the learning rate from each block to the one below it."""
    warmup: float | None = None
    label_smoothing: float | None = None
    augment: str | None = None
    mirror: bool | None = None
    """Whether half of the images are mirrored, left to right: right for photographs of most things, wrong for digits and text."""
    mixup: float | None = None
    cutmix: float | None = None
    erasing: float | None = None
    drop_path: float | None = None
    ema: float | None = None
    teacher: str | None = None
    """The checkpoint that is distilled."""
    distil: str | None = None
    """`soft`: the teacher's softened probabilities beside the labels, by every head; `token`: its answers, by DeiT's distillation

    token; `answers`: its probabilities as they are, and no labels; `none`.
    """
    quantize: str | None = None
    """The recipe whose rounding the model sees while it is trained, by its name."""
    objective: str = "classes"
    """`classes`, or `masked patches` for the paper's self-supervision (section 4.6)."""
    fraction: float = 1.0
    dev: float = 0.0
    """Of the training images, what chooses the best checkpoint in place of the held-out ones: for a search of settings."""
    tried: dict[str, float | None] = field(default_factory=dict)
    """Top-1 by what was tried, where it was chosen from several: learning rates, or settings as "lr 0.001, batch 64".

    None for one that did not come to its end.
    """
    seed: int = 0
    held_out: float = 0.2
    on_bad_image: str = "refuse"
    device: str = "auto"
    precision: str | None = None
    """Of the matrix products while training, `float32` or `bfloat16`; weights, sums and the optimiser stay float32."""
    watch: str = "tensorboard"
    """Who follows the training, with commas between; `none` for nobody. It changes nothing of what is trained."""
    said: tuple[str, ...] | None = None
    """The settings that the user gave, by name; None where that is not known."""

    auto_batch: bool = False
    """Whether a batch that does not fit in memory is divided, and a step made of several."""
    compile: bool | None = None
    """Whether torch compiles the model; None: on a GPU."""
    recompute: bool = False
    """Whether what the blocks compute is computed again on the way back, to save memory."""
    parallel: str = "ddp"
    """Where there are several workers: `ddp`, each has the whole model; `fsdp`, each keeps a part of it."""
    save_minutes: float = 10.0
    """Within an epoch, minutes from one save to the next; 0: after each step."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 100_000), ("batch", 1, 1 << 20), ("accumulate", 1, 1 << 16), ("lr", 1e-12, 100),
            ("weight_decay", 0, 10),
            ("layer_decay", 0.01, 1), ("warmup", 0, 0.999), ("label_smoothing", 0, 0.999), ("mixup", 0, 1), ("cutmix", 0, 1),
            ("erasing", 0, 1), ("drop_path", 0, 0.999), ("ema", 0, 0.999999), ("held_out", 1e-6, 0.999999), ("fraction", 1e-6, 1),
            ("dev", 0, 0.9), ("seed", 0, 1 << 31),
            ("registers", 0, 1024), ("representation", 0, 1 << 16), ("keep_patches", 0.25, 1),
            ("save_minutes", 0, 1e6),
        ):  # fmt: skip
            value = getattr(self, name)
            require(
                value is None or low <= value <= high,
                f"{name.replace('_', '-')} must be between {low:g} and {high:g}, not {value}",
            )
        for name, known in (
            ("preset", PRESETS), ("pool", POOLS), ("positions", POSITIONS), ("gelu", GELUS), ("augment", AUGMENTS),
            ("optimiser", ("adamw", "sgd")), ("distil", DISTILS), ("objective", ("classes", "masked patches")),
            ("on_bad_image", ("refuse", "skip")), ("precision", ("float32", "bfloat16")), ("parallel", ("ddp", "fsdp")),
        ):  # fmt: skip
            value = getattr(self, name)
            require(value is None or value in known, f"unknown {name.replace('_', '-')}: {value}; known: {', '.join(known)}")
        unknown = [name for name in self.watchers if name not in WATCHERS]
        require(not unknown, f"unknown watch: {', '.join(unknown)[:80]}; known: none, {', '.join(WATCHERS)}")
        require((self.mixup or 0) + (self.cutmix or 0) <= 1, "mixup and cutmix share the batches: their sum is at most 1")
        masked = self.objective == "masked patches"
        require(self.preset != "pretrain" or masked, "the preset pretrain has no labels to learn: edgevit pretrain takes it")
        require(not (masked and self.keep_patches), "merged patches cannot be predicted one by one")
        require(not self.quantize or bool(self.start), "training for a recipe goes on from a checkpoint in float")
        require(self.preset != "quantize" or bool(self.quantize), "the preset quantize needs a recipe")
        require(not (self.keep_head and not self.start), "there is no head to keep without a checkpoint to start from")
        require(self.distil in (None, "none") or bool(self.teacher), "there is nothing to distil without a teacher")
        require(not (self.distil == "none" and self.teacher), "a teacher that is not distilled teaches nothing")
        tokens = self.distil != "token" or self.pool in (None, "distilled")
        require(tokens, f"distil token needs a distillation token, which pool {self.pool} has not")

    @property
    def watchers(self) -> tuple[str, ...]:
        """The names in `watch`, each once."""
        named = dict.fromkeys(name.strip() for name in self.watch.split(","))
        return () if tuple(named) == ("none",) else tuple(named)


@dataclass(frozen=True)
class Checkpoint:
    """A trained or imported model: a folder with `model.safetensors` and this record as `checkpoint.json`."""

    config: ViTConfig
    preprocess: Preprocess
    labels: tuple[str, ...]
    metrics: dict[str, float]
    weights_sha256: str
    versions: dict[str, str]
    train: TrainConfig | None = None
    """None where others trained it."""
    chosen_by: str = ""
    """The metric of the held-out images by which this epoch was chosen from all of the run: on them it looks its best."""
    quantized_sha256: str = ""
    """Of the integers that it learned with, where it was trained for a recipe."""
    source: str = ""
    """Where an imported one came from, and what was said by whom."""
    skipped: tuple[str, ...] = ()
    """Images that could not be read and that the user let go."""
    folder: Path = Path()

    def __post_init__(self) -> None:
        require(len(self.labels) == self.config.classes, "as many labels as classes are needed")
        require(self.preprocess.crop == self.config.image_size, "crop and image size must be equal")

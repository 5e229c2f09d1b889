"""What a model is and how it came to be: its shape, its preprocessing, its training, its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

Size = tuple[int, int]
"""Height and width, in pixels or patches."""


def require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True)
class ResNetStem:
    """The ResNet whose feature map a hybrid takes for its patches: units per stage, and channels of the root.

    The root divides the sides by 4, every stage after the first by 2. `norm_eps` is that of the GroupNorms.
    """

    layers: tuple[int, ...]
    width: int = 64
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        require(1 <= len(self.layers) <= 4 and all(0 < n <= 64 for n in self.layers), "a stem has 1 to 4 stages of 1 to 64 units")
        require(0 < self.width <= 1024, "the width of a stem must be between 1 and 1024")

    @property
    def stride(self) -> int:
        """Pixels of the image along one side of a cell of the feature map."""
        return 2 ** (len(self.layers) + 1)

    @property
    def channels(self) -> int:
        """Of the feature map: a bottleneck gives four times its width, and the width doubles with every stage."""
        return self.width * 2 ** (len(self.layers) + 1)


@dataclass(frozen=True)
class Merge:
    """`patches` patches are left behind block number `after`, counted from 1."""

    after: int
    patches: int


POOLS = ("cls", "mean", "distilled")
POSITIONS = ("none", "1d", "2d", "relative", "sincos")
GELUS = ("erf", "tanh")


@dataclass(frozen=True)
class ViTConfig:
    """The shape of a Vision Transformer. Sizes in pixels (image, patch) and channels (width, mlp, representation).

    `pool`: what the head reads, the class token (`cls`), the mean of the patches (`mean`, then there is no class token), or the
    class token and DeiT's distillation token, each by a head of its own (`distilled`).
    `positions`: learned and 1-D as in the paper (`1d`), halves for row and column (`2d`), inside the attention (`relative`),
    fixed sines and cosines of row and column (`sincos`), or `none`.
    `representation`: width of the tanh layer before the head, which pre-training has and fine-tuning drops; 0 for none.
    `classes` is 0 where a pre-trained encoder has no head yet.
    `merges`: where patches that are alike become one, so that the blocks behind have less to do.
    """

    variant: str
    image_size: Size
    patch: int
    width: int
    depth: int
    heads: int
    mlp: int
    classes: int
    pool: str = "cls"
    positions: str = "1d"
    registers: int = 0
    gelu: str = "erf"
    representation: int = 0
    stem: ResNetStem | None = None
    norm_eps: float = 1e-6
    merges: tuple[Merge, ...] = ()

    def __post_init__(self) -> None:
        sizes = (*self.image_size, self.patch, self.width, self.depth, self.heads, self.mlp)
        require(all(0 < size <= 1 << 20 for size in sizes), "every size of a ViT must be positive")
        require(
            all(0 <= n <= 1 << 20 for n in (self.classes, self.registers, self.representation)), "a count must not be negative"
        )
        height, width = self.image_size
        require(
            not (height % self.patch or width % self.patch), f"patch {self.patch} does not divide image size {height}x{width}"
        )
        require(self.width % self.heads == 0, f"{self.heads} heads do not divide width {self.width}")
        for name, value, known in (
            ("pooling", self.pool, POOLS),
            ("positions", self.positions, POSITIONS),
            ("GELU", self.gelu, GELUS),
        ):
            require(value in known, f"unknown {name}: {value}; known: {', '.join(known)}")
        parts = {"2d": 2, "sincos": 4}.get(self.positions, 1)
        require(self.width % parts == 0, f"{self.positions} positions need a width that {parts} divides, not {self.width}")
        require(not (self.representation and self.pool == "distilled"), "a distilled model has no representation layer")
        if self.stem:
            require(
                self.patch % self.stem.stride == 0, f"patch {self.patch} is no multiple of the stem's stride {self.stem.stride}"
            )
        self._require_merges()

    def _require_merges(self) -> None:
        require(not (self.merges and self.positions == "relative"), "merged patches have no positions relative to each other")
        left, behind = self.patches, 0
        for merge in self.merges:
            require(behind < merge.after < self.depth, "patches are merged behind one block after another, not behind the last")
            half = left - left // 2
            require(half <= merge.patches < left, f"of {left} patches a merge leaves {half} to {left - 1}, not {merge.patches}")
            left, behind = merge.patches, merge.after

    @property
    def grid(self) -> Size:
        """Patches down and across."""
        return self.image_size[0] // self.patch, self.image_size[1] // self.patch

    @property
    def patches(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def class_tokens(self) -> int:
        """Tokens that a head reads: the class token and the distillation token."""
        return {"cls": 1, "mean": 0, "distilled": 2}[self.pool]

    @property
    def prefix(self) -> int:
        """Tokens before the patches: those of the classes, then the registers."""
        return self.class_tokens + self.registers

    @property
    def tokens(self) -> int:
        """Length of the sequence that enters the encoder."""
        return self.prefix + self.patches

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens that enter each block."""
        left = {merge.after: merge.patches for merge in self.merges}
        found = [self.tokens]
        for block in range(1, self.depth):
            found.append(self.prefix + left[block] if block in left else found[-1])
        return tuple(found)


INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True)
class Preprocess:
    """What a pixel becomes on its way into the model: one record from training to the app.

    The image is made upright and RGB, resized, the middle `crop` (height, width) cut out, scaled to 0..1, and normalised per
    channel as (x - mean) / std. With `aspect` "keep" it is resized until it just covers `resize` (height, width): for a square,
    the short side becomes that long. With "squash" it becomes exactly `resize`, whatever its shape was.
    """

    resize: Size
    crop: Size
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    aspect: str = "keep"
    channels: str = "RGB"

    def __post_init__(self) -> None:
        fits = all(0 < c <= r <= 1 << 14 for c, r in zip(self.crop, self.resize, strict=True))
        require(fits, f"preprocess needs 0 < crop <= resize <= 16384, not crop {self.crop} and resize {self.resize}")
        require(self.interpolation in INTERPOLATIONS, f"unknown interpolation: {self.interpolation}")
        require(all(0 < s < 1e6 for s in self.std), "std must be positive")
        require(all(-1e6 < m < 1e6 for m in self.mean), "mean must be a number")
        require(self.aspect in ("keep", "squash"), f"unknown aspect: {self.aspect}; known: keep, squash")
        require(self.channels == "RGB", f"channel order {self.channels!r}")


PRESETS = ("auto", "pretrain", "scratch", "finetune", "paper", "probe")
AUGMENTS = ("none", "light", "photo", "strong")


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
    """`soft`: the teacher's probabilities, by every head; `token`: its answers, by DeiT's distillation token; `none`."""
    objective: str = "classes"
    """`classes`, or `masked patches` for the paper's self-supervision (section 4.6)."""
    fraction: float = 1.0
    dev: float = 0.0
    """Of the training images, what chooses the best checkpoint in place of the held-out ones: for a search of learning rates."""
    tried: dict[str, float | None] = field(default_factory=dict)
    """Top-1 by learning rate, where one was chosen from several; None for one whose loss was no longer a number."""
    seed: int = 0
    held_out: float = 0.2
    on_bad_image: str = "refuse"
    device: str = "auto"
    precision: str | None = None
    """Of the matrix products while training, `float32` or `bfloat16`; weights, sums and the optimiser stay float32."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 100_000), ("batch", 1, 1 << 20), ("accumulate", 1, 1 << 16), ("lr", 1e-12, 100),
            ("weight_decay", 0, 10),
            ("layer_decay", 0.01, 1), ("warmup", 0, 0.999), ("label_smoothing", 0, 0.999), ("mixup", 0, 1), ("cutmix", 0, 1),
            ("erasing", 0, 1), ("drop_path", 0, 0.999), ("ema", 0, 0.999999), ("held_out", 1e-6, 0.999999), ("fraction", 1e-6, 1),
            ("dev", 0, 0.9), ("seed", 0, 1 << 31),
            ("registers", 0, 1024), ("representation", 0, 1 << 16), ("keep_patches", 0.25, 1),
        ):  # fmt: skip
            value = getattr(self, name)
            require(
                value is None or low <= value <= high,
                f"{name.replace('_', '-')} must be between {low:g} and {high:g}, not {value}",
            )
        for name, known in (
            ("preset", PRESETS), ("pool", POOLS), ("positions", POSITIONS), ("gelu", GELUS), ("augment", AUGMENTS),
            ("optimiser", ("adamw", "sgd")), ("distil", ("none", "soft", "token")), ("objective", ("classes", "masked patches")),
            ("on_bad_image", ("refuse", "skip")), ("precision", ("float32", "bfloat16")),
        ):  # fmt: skip
            value = getattr(self, name)
            require(value is None or value in known, f"unknown {name.replace('_', '-')}: {value}; known: {', '.join(known)}")
        require((self.mixup or 0) + (self.cutmix or 0) <= 1, "mixup and cutmix share the batches: their sum is at most 1")
        masked = self.objective == "masked patches"
        require(self.preset != "pretrain" or masked, "the preset pretrain has no labels to learn: edgevit pretrain takes it")
        require(not (masked and self.keep_patches), "merged patches cannot be predicted one by one")
        require(not (self.keep_head and not self.start), "there is no head to keep without a checkpoint to start from")
        require(self.distil in (None, "none") or bool(self.teacher), "there is nothing to distil without a teacher")
        require(not (self.distil == "none" and self.teacher), "a teacher that is not distilled teaches nothing")
        tokens = self.distil != "token" or self.pool in (None, "distilled")
        require(tokens, f"distil token needs a distillation token, which pool {self.pool} has not")


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
    source: str = ""
    """Where an imported one came from, and what was said by whom."""
    skipped: tuple[str, ...] = ()
    """Images that could not be read and that the user let go."""
    folder: Path = Path()

    def __post_init__(self) -> None:
        require(len(self.labels) == self.config.classes, "as many labels as classes are needed")
        require(self.preprocess.crop == self.config.image_size, "crop and image size must be equal")

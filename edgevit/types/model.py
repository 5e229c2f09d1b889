"""What a model is: its shape and its preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

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

"""The ResNet of a hybrid: convolutions with standardised weights and GroupNorm, as the paper's (section 4.1, "Model Variants").

Padding is TensorFlow's SAME, whose odd pixel is on the right and below. The parameters have timm's names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit.types import ResNetStem

STANDARD_EPS = 1e-6
"""Added to the variance of a kernel before it is divided out."""
GROUPS = 32


def standardised(weight: Tensor, eps: float = STANDARD_EPS) -> Tensor:
    """Kernels (out, in, h, w), each to zero mean and unit variance (Qiao et al., arXiv 1903.10520)."""
    variance, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
    return (weight - mean) * torch.rsqrt(variance + eps)


class StandardisedConv(nn.Conv2d):
    """A convolution without bias whose kernels are standardised whenever they are used."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(same(x, self.kernel_size[0], self.stride[0]), standardised(self.weight), None, self.stride)


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Images padded with zeros, so that the sides of what a `kernel` gives are those of `x` over `stride`, which divides them."""
    excess = kernel - stride
    return F.pad(x, (excess // 2, excess - excess // 2) * 2) if excess > 0 else x


def group_norm(channels: int, eps: float) -> nn.GroupNorm:
    return nn.GroupNorm(min(GROUPS, channels), channels, eps)


class Root(nn.Module):
    """Images (N, 3, H, W) to (N, width, H / 4, W / 4)."""

    def __init__(self, stem: ResNetStem) -> None:
        super().__init__()
        self.conv = StandardisedConv(3, stem.width, 7, 2)
        self.norm = group_norm(stem.width, stem.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        return F.max_pool2d(same(x, 3, 2), 3, 2)  # zeros around are as good as nothing: no pixel is negative


class Shortcut(nn.Module):
    """What stands in for the identity where a unit changes its channels or its size."""

    def __init__(self, channels: int, out: int, stride: int, eps: float) -> None:
        super().__init__()
        self.conv = StandardisedConv(channels, out, 1, stride)
        self.norm = group_norm(out, eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Unit(nn.Module):
    """A bottleneck: 1x1, 3x3 with the stride, 1x1, and the sum with its input."""

    def __init__(self, channels: int, middle: int, out: int, stride: int, eps: float) -> None:
        super().__init__()
        self.downsample = Shortcut(channels, out, stride, eps) if channels != out or stride != 1 else nn.Identity()
        self.conv1, self.norm1 = StandardisedConv(channels, middle, 1), group_norm(middle, eps)
        self.conv2, self.norm2 = StandardisedConv(middle, middle, 3, stride), group_norm(middle, eps)
        self.conv3, self.norm3 = StandardisedConv(middle, out, 1), group_norm(out, eps)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + self.downsample(x))


class Stage(nn.Module):
    def __init__(self, channels: int, middle: int, units: int, stride: int, eps: float) -> None:
        super().__init__()
        out = 4 * middle
        first = Unit(channels, middle, out, stride, eps)
        self.blocks = nn.Sequential(first, *(Unit(out, middle, out, 1, eps) for _ in range(units - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class ResNet(nn.Module):
    """Images (N, 3, H, W) to a feature map (N, stem.channels, H / stem.stride, W / stem.stride)."""

    def __init__(self, stem: ResNetStem) -> None:
        super().__init__()
        self.stem = Root(stem)
        stages, channels = [], stem.width
        for number, units in enumerate(stem.layers):
            middle = stem.width * 2**number
            stages.append(Stage(channels, middle, units, 1 if number == 0 else 2, stem.norm_eps))
            channels = 4 * middle
        self.stages = nn.Sequential(*stages)
        self._initialise()

    def _initialise(self) -> None:
        """The last norm of a unit begins at zero, so that a unit begins as its shortcut (the paper's own code)."""
        for module in self.modules():
            if isinstance(module, StandardisedConv):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Unit):
                nn.init.zeros_(module.norm3.weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(self.stem(images))

"""Kernels whose weight standardisation adds another constant than ours, scaled so that ours gives exactly the same kernel.

Ours is (w - m) / sqrt(s^2 + e), with m and s the mean and standard deviation of a kernel and e = 1e-6. Scaling w by a > 0 gives
(w - m) / sqrt(s^2 + e / a^2). So a^2 = e / d turns e into d; and a^2 = e / (2 s d + d^2) makes it (w - m) / (s + d).
"""

from __future__ import annotations

from torch import Tensor

from edgevit.vit.stem import STANDARD_EPS

FLAX_EPS = 1e-5
"""Google's own code adds it to the standard deviation."""
TIMM_EPS = 1e-8
"""timm's and transformers' code add it to the variance."""


def from_variance(kernel: Tensor, eps: float = TIMM_EPS) -> Tensor:
    """A kernel (out, in, h, w) that elsewhere has `eps` added to its variance."""
    return (kernel.double() * (STANDARD_EPS / eps) ** 0.5).float()


def to_variance(kernel: Tensor, eps: float = TIMM_EPS) -> Tensor:
    """The way back of `from_variance`."""
    return (kernel.double() * (eps / STANDARD_EPS) ** 0.5).float()


def from_deviation(kernel: Tensor, eps: float = FLAX_EPS) -> Tensor:
    """A kernel (out, in, h, w) that elsewhere has `eps` added to its standard deviation: a factor for each channel it gives."""
    exact = kernel.double()
    deviation = exact.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (exact * (STANDARD_EPS / (2 * deviation * eps + eps**2)).sqrt()).float()

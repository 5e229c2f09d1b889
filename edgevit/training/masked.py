"""Masked patch prediction, the paper's self-supervision (section 4.6, appendix B.1.2): colours of unseen patches.

Half of the patch embeddings are corrupted: 80 % of those become a learned mask embedding, 10 % that of another patch of the
batch, 10 % stay. From its encoded token the mean colour of every corrupted patch is predicted, with 3 bits for each of red,
green and blue.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit.training.pixels import Pixels
from edgevit.types import Preprocess, ViTConfig
from edgevit.vit.model import ViT

CORRUPTED, MASKED, EXCHANGED = 0.5, 0.8, 0.1
BITS = 3
EVALUATED = 0
"""Seed of the masks of the held-out images, which are the same after every epoch."""


class Predictor(nn.Module):
    """What pre-training needs besides the encoder, and fine-tuning drops."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.colours = nn.Linear(width, 2 ** (3 * BITS))
        nn.init.zeros_(self.colours.weight)
        nn.init.zeros_(self.colours.bias)


class MaskedPatches:
    """The objective `masked patches`. Its best checkpoint has the lowest loss on the held-out images."""

    better = "val_loss"

    def __init__(self, config: ViTConfig, preprocess: Preprocess, device: torch.device) -> None:
        self.predictor = Predictor(config.width).to(device)
        self.extra: nn.Module | None = self.predictor
        self.config = config
        self.mean, self.std = (torch.tensor(v, device=device).reshape(1, 3, 1, 1) for v in (preprocess.mean, preprocess.std))

    def loss(self, model: ViT, images: Tensor, classes: Tensor, random: torch.Generator) -> Tensor:
        """Normalised images (n, 3, H, W) to the mean cross-entropy of their corrupted patches; nobody looks at the classes."""
        logits, colours = self._predicted(model, images, random)
        return F.cross_entropy(logits.float(), colours, reduction="sum") / max(1, len(colours))

    def _predicted(self, model: ViT, images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Logits (m, 512) and true colours (m) of the corrupted patches of a batch."""
        patches = model.patch_embed(images)
        corrupted, what = (torch.rand(patches.shape[:2], generator=random).to(images.device) for _ in range(2))
        chosen = corrupted < CORRUPTED
        other = torch.randint(patches.shape[0] * patches.shape[1], patches.shape[:2], generator=random).to(images.device)
        exchanged = (chosen & (what >= MASKED) & (what < MASKED + EXCHANGED))[..., None]
        masked = (chosen & (what < MASKED))[..., None]
        seen = torch.where(exchanged, patches.flatten(0, 1)[other], patches)
        seen = torch.where(masked, self.predictor.mask_token.to(patches.dtype), seen)  # type: ignore[operator]
        encoded = model.norm(model.encode(model.embed(seen))[0])[:, self.config.prefix :]
        return self.predictor.colours(encoded[chosen]), self.colours(images)[chosen]  # type: ignore[operator]

    def colours(self, images: Tensor) -> Tensor:
        """Normalised images (n, 3, H, W) to the mean colour of each patch (n, patches), of 512."""
        patch = self.config.patch
        means = F.avg_pool2d((images * self.std + self.mean).float(), patch).flatten(2)
        levels = (means * 2**BITS).floor().clamp(0, 2**BITS - 1).long()
        return (levels[:, 0] << (2 * BITS)) + (levels[:, 1] << BITS) + levels[:, 2]

    @torch.inference_mode()
    def evaluate(self, model: ViT, to_images, held_out: Pixels) -> dict[str, float]:  # type: ignore[no-untyped-def]
        """Mean loss, and the fraction of corrupted patches whose colour is predicted, on the held-out images."""
        random = torch.Generator().manual_seed(EVALUATED)
        loss, right, count = 0.0, 0, 0
        for pixels, _ in held_out.batches(torch.arange(len(held_out)).split(256)):
            logits, colours = self._predicted(model, to_images(pixels), random)
            loss += float(F.cross_entropy(logits.float(), colours, reduction="sum"))
            right, count = right + int((logits.argmax(1) == colours).sum()), count + len(colours)
        return {"val_loss": loss / max(1, count), "val_colours": right / max(1, count)}

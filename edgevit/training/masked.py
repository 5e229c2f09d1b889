"""Masked patch prediction, the paper's self-supervision (section 4.6, appendix B.1.2): colours of unseen patches.

Half of the patch embeddings are corrupted: 80 % of those become a learned mask embedding, 10 % that of another patch of the
batch, 10 % stay. From its encoded token the mean colour of every corrupted patch is predicted, with 3 bits for each of red,
green and blue.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevit.data.drawing import Draws
from edgevit.types import Preprocess
from edgevit.vit.model import ViT

CORRUPTED, MASKED, EXCHANGED = 0.5, 0.8, 0.1
BITS = 3
EVALUATED = 0
"""Seed of the masks of the held-out images, which are the same after every epoch."""
NONE = -100
"""The colour of a patch that is not asked for."""


class Predictor(nn.Module):
    """What pre-training needs besides the encoder, and fine-tuning drops."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.colours = nn.Linear(width, 2 ** (3 * BITS))
        nn.init.zeros_(self.colours.weight)
        nn.init.zeros_(self.colours.bias)


class MaskedPatches(nn.Module):
    """The objective `masked patches`. Its best checkpoint has the lowest loss on the held-out images."""

    better = "val_loss"
    mean: Tensor
    std: Tensor

    def __init__(self, model: ViT, preprocess: Preprocess, predictor: Predictor | None = None) -> None:
        super().__init__()
        self.model, self.preprocess = model, preprocess
        self.predictor = predictor or Predictor(model.config.width)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(preprocess, name)).reshape(1, 3, 1, 1))

    @property
    def extra(self) -> nn.Module | None:
        return self.predictor

    def around(self, model: ViT) -> MaskedPatches:
        return MaskedPatches(model, self.preprocess, self.predictor).to(self.mean.device)

    def prepared(self, images: Tensor, classes: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """Normalised images (n, 3, H, W) to what `forward` takes; nobody looks at the classes.

        Which patches are corrupted and what becomes of them (n, patches), and which others may stand for them.
        """
        patches = self.model.config.patches
        corrupted, what = draws.uniform(patches), draws.uniform(patches)
        other = draws.below(max(1, len(draws)) * patches, patches)
        return (images, *(x.to(images.device, non_blocking=True) for x in (corrupted, what, other)))

    def forward(self, images: Tensor, corrupted: Tensor, what: Tensor, other: Tensor) -> Tensor:
        """The mean cross-entropy of the corrupted patches."""
        loss, _, count = self._judged(images, corrupted, what, other)
        return loss / count.clamp(min=1)

    def _judged(self, images: Tensor, corrupted: Tensor, what: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sum of the cross-entropies, right colours, and how many patches were corrupted.

        All patches are predicted and the others left out of the sums: which there are is nothing that the host need know.
        """
        model, patches = self.model, self.model.patch_embed(images)
        chosen = corrupted < CORRUPTED
        exchanged = (chosen & (what >= MASKED) & (what < MASKED + EXCHANGED))[..., None]
        masked = (chosen & (what < MASKED))[..., None]
        seen = torch.where(exchanged, patches.flatten(0, 1)[other], patches)
        seen = torch.where(masked, self.predictor.mask_token.to(patches.dtype), seen)
        encoded = model.norm(model.encode(model.embed(seen))[0])[:, model.config.prefix :]
        logits, colours = self.predictor.colours(encoded).float().flatten(0, 1), self.colours(images)
        loss = F.cross_entropy(logits, colours.where(chosen, NONE).flatten(), reduction="sum", ignore_index=NONE)
        return loss, ((logits.argmax(1) == colours.flatten()) & chosen.flatten()).sum(), chosen.sum()

    def colours(self, images: Tensor) -> Tensor:
        """Normalised images (n, 3, H, W) to the mean colour of each patch (n, patches), of 512."""
        means = F.avg_pool2d((images * self.std + self.mean).float(), self.model.config.patch).flatten(2)
        levels = (means * 2**BITS).floor().clamp(0, 2**BITS - 1).long()
        return (levels[:, 0] << (2 * BITS)) + (levels[:, 1] << BITS) + levels[:, 2]

    def tally(self, images: Tensor, classes: Tensor, number: int) -> Tensor:
        """Sum of the losses, right colours, corrupted patches. The masks of a batch are the same after every epoch."""
        random = torch.Generator().manual_seed(EVALUATED + number)
        prepared = self.prepared(images, classes, Draws(random, len(images), 0, len(images)))
        return torch.stack([x.double().cpu() for x in self._judged(*prepared)])

    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Mean loss, and the fraction of corrupted patches whose colour is predicted."""
        loss, right, count = sums.tolist()
        return {"val_loss": loss / max(1, count), "val_colours": right / max(1, count)}

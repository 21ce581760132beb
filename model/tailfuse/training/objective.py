"""The training objective: a network's loss with mixup and modality dropout."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.network.build import AnyNetwork
from tailfuse.network.ragged import Rows, embed, scatter


class Draw(NamedTuple):
    """The random choices for one batch; drawn on the CPU, so that every device sees the same."""

    u: Tensor  # (B, M) in 0..1: how far each modality enters the joint branch; 0 where absent
    partner: Tensor  # (B,) the sample each is mixed with; it has the same modalities
    share: Tensor  # scalar in 0.5..1: a sample's own share of the mix

    def to(self, device: torch.device) -> "Draw":
        return Draw(*(each.to(device) for each in self))


def draw(presence: Tensor, *, dropout: float, mixup: float, generator: torch.Generator) -> Draw:
    """Draw modality dropout and mixup. `dropout` is the probability that a row loses modalities at all.

    Such a row keeps each modality with probability 1/2 (one at least), and half of those are scaled by
    U(0, 1): at inference a modality of little confidence enters the joint branch scaled down.
    """
    size, n_modalities = presence.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    order = uniform(size, n_modalities).masked_fill(~presence, -1.0)
    first = order == order.max(dim=1, keepdim=True).values
    kept = (uniform(size, n_modalities) < 0.5) | first
    scaled = torch.where(uniform(size, n_modalities) < 0.5, uniform(size, n_modalities), torch.ones(()))
    scaled = torch.where(first, torch.ones(()), scaled)
    dropped = uniform(size, 1) < dropout
    u = torch.where(dropped, kept * scaled, torch.ones(())) * presence
    share = torch.ones(())
    if mixup > 0:
        # torch's Beta distribution takes no generator, so a seeded numpy one draws the number.
        seed = int(torch.randint(2**31, (), generator=generator))
        own = float(np.random.default_rng(seed).beta(mixup, mixup))
        share = torch.tensor(max(own, 1 - own))
    return Draw(u, choose_partners(presence, generator), share)


def choose_partners(presence: Tensor, generator: torch.Generator) -> Tensor:
    """Choose a partner for each sample, a permutation of those with the same modalities: (B, M) -> (B,)

    With any other partner a mix would have to leave out the modalities that one of the two lacks, and a
    modality that few rows have would hardly ever be trained.
    """
    # Both orders are sorted by the presence pattern, and random within a pattern.
    own, other = (
        torch.from_numpy(np.lexsort((torch.rand(len(presence), generator=generator), *presence.T)))
        for _ in range(2)
    )
    return torch.empty_like(own).index_copy(0, own, other)


class Objective(nn.Module):
    """The loss of a batch. A module, so that data-parallel training can wrap it."""

    def __init__(self, network: AnyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, inputs: Rows, rows: Rows, presence: Tensor, labels: Tensor, draws: Draw, progress: float
    ) -> Tensor:
        """Mean loss of a batch; `progress` is the share of the training done, 0..1.

        Mixup (Zhang et al. 2018) is of embeddings, so that it serves every kind. All modalities of a
        sample have the same partner.
        """
        network, size = self.network, len(labels)
        names = network.modalities
        present = [
            embed(encoder, inputs[name], training=True)
            for name, encoder in zip(names, network.encoders, strict=True)
        ]
        # If no modality is absent, the rows are in the order of the samples.
        complete = all(len(each) == size for each in present)
        embeddings = (
            torch.stack(present, 1)
            if complete
            else scatter(torch.cat(present).float(), [rows[name] for name in names], size)
        )
        target = F.one_hot(labels, network.n_classes).to(embeddings.dtype)

        embeddings = blend(embeddings, draws.partner, draws.share)
        target = blend(target, draws.partner, draws.share)
        return network.loss(embeddings, presence, draws.u, target, progress)


def blend(values: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """Compute share * values + (1 - share) * the partners' values."""
    return share * values + (1 - share) * values[partner]

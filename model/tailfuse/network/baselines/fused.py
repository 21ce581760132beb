"""A network with a published fusion, and what such a fusion returns."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tailfuse_service.bundle import OUTPUT_NAMES
from torch import Tensor, nn

from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.network import Answer
from tailfuse.network.ragged import Rows, embed, scatter


class FusedAnswer(NamedTuple):
    """Of B samples. Without `confidences` every modality has that of the fused answer."""

    log_p: Tensor  # (B, C)
    weights: Tensor  # (B, M)
    confidences: Tensor | None = None  # (B, M)


class Baseline(nn.Module):
    """Encoders and another fusion than ours; one temperature is fitted on the calibration set."""

    log_prior: Tensor
    temperature: Tensor
    output_names = OUTPUT_NAMES  # the fields of its Answer

    def __init__(
        self, encoders: Mapping[str, nn.Module], *, n_classes: int, loss_fn: ImbalanceLoss, fusion: nn.Module
    ) -> None:
        super().__init__()
        self.modalities = list(encoders)
        self.n_classes = n_classes
        self.loss_fn = loss_fn
        self.encoders = nn.ModuleList(encoders.values())
        self.fusion = fusion
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("log_prior", torch.zeros(n_classes))

    def forward(self, inputs: Rows, rows: Rows, presence: Tensor) -> Answer:
        """A ragged batch, as Network's -> probabilities, weights, confidences."""
        present = [
            embed(encoder, inputs[name], training=self.training)
            for name, encoder in zip(self.modalities, self.encoders, strict=True)
        ]
        embeddings = scatter(torch.cat(present), [rows[name] for name in self.modalities], presence.shape[0])
        fused: FusedAnswer = self.fusion(embeddings, presence)
        log_p = F.log_softmax(fused.log_p, dim=-1) / self.temperature
        probabilities = F.softmax(log_p + self.log_prior, dim=-1)
        confidences = fused.confidences
        if confidences is None:
            confidences = probabilities.amax(-1, keepdim=True).expand(presence.shape)
        return Answer(probabilities, fused.weights, confidences.masked_fill(~presence, 0.0))

    @property
    def ranks(self) -> Tensor | None:
        """The order of the modalities, 0 the best, where the fusion has one: (M,)"""
        return dict(self.fusion.named_buffers()).get("ranks")

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The fusion's loss; see Network.loss."""
        loss: Tensor = self.fusion.loss(embeddings, presence, u, target, progress)  # type: ignore[operator]
        return loss

    def describe_calibration(self) -> dict[str, Tensor]:
        """Return the temperature, by the name that the manifest has for it."""
        return {"temperature": self.temperature}


def make_equal_weights(presence: Tensor) -> Tensor:
    """Make the same weight for every modality present: (B, M) -> (B, M)"""
    return presence / presence.sum(-1, keepdim=True)

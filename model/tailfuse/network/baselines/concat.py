"""Early fusion: one head on the concatenation of all embeddings."""

from torch import Tensor, nn

from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer, make_equal_weights
from tailfuse.network.joint import JointBranch


class Concat(nn.Module):
    """The joint branch alone, each modality whole or absent. In training modalities are left out too."""

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.joint = JointBranch(n_modalities, width, loss_fn, n_classes, dropout)

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, W), (B, M) -> the joint branch's answer"""
        logits = self.joint(embeddings, presence.to(embeddings.dtype))
        return FusedAnswer(aggregate(logits), make_equal_weights(presence))

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The joint branch's loss with the modalities whose u is not 0, unscaled."""
        return self.joint.loss(embeddings, (u > 0).to(embeddings.dtype), target, progress)

"""Ours with equal weights: how much the confidences are worth."""

from torch import Tensor

from model.network.fusion import Fusion


class Uniform(Fusion):
    """The same votes, joint branch and calibration; every modality present weighs the same."""

    def weights(self, confidence_logits: Tensor, presence: Tensor) -> Tensor:
        """(B, M), (B, M) bool -> (B, M): equal over what is present"""
        return presence / presence.sum(-1, keepdim=True)

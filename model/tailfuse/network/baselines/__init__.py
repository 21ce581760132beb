"""Baseline fusions: published methods on the same encoders, heads and training as ours.

A fusion is a module of `forward(embeddings (B, M, W), presence (B, M)) -> Fused` and
`loss(embeddings, presence, u, target, progress) -> scalar`.
"""

from collections.abc import Callable

from torch import nn

from tailfuse.network.baselines.concat import Concat
from tailfuse.network.baselines.dynamics import Dynamics
from tailfuse.network.baselines.late import Late
from tailfuse.network.baselines.qmf import QualityAware
from tailfuse.network.baselines.sade_mm import SadeMM
from tailfuse.network.baselines.single import Single
from tailfuse.network.baselines.tensor import TensorFusion
from tailfuse.network.baselines.tmc import TrustedMultiView

FUSIONS: dict[str, Callable[..., nn.Module]] = {
    "late": Late,
    "single": Single,
    "concat": Concat,
    "tensor": TensorFusion,
    "dynamics": Dynamics,
    "qmf": QualityAware,
    "tmc": TrustedMultiView,
    "sade_mm": SadeMM,
}

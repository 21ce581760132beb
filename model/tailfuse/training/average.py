"""A moving average of a network's weights."""

import copy

import torch

from tailfuse.network.build import AnyNetwork


class Average:
    """`network` holds the average of all that changes while `source` learns; it is never in training."""

    def __init__(self, source: AnyNetwork, decay: float) -> None:
        self.network = copy.deepcopy(source).requires_grad_(False).eval()
        self.decay = decay
        learning = [name for name, each in source.named_parameters() if each.requires_grad]
        learning += [name for name, each in source.named_buffers() if each.is_floating_point()]
        own, others = self.network.state_dict(), source.state_dict()
        self.own, self.others = [own[name] for name in learning], [others[name] for name in learning]

    @torch.no_grad()
    def update(self) -> None:
        """decay * average + (1 - decay) * source"""
        torch._foreach_lerp_(self.own, self.others, 1 - self.decay)

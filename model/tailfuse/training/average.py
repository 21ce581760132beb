"""A moving average of a network's weights."""

import copy

from torch.optim.swa_utils import get_ema_multi_avg_fn

from tailfuse.network.build import AnyNetwork


class Average:
    """`network` holds the average of the weights of `source` during training; it is always in eval mode."""

    def __init__(self, source: AnyNetwork, decay: float) -> None:
        self.network = copy.deepcopy(source).requires_grad_(False).eval()
        self._average = get_ema_multi_avg_fn(decay)
        learning = [name for name, each in source.named_parameters() if each.requires_grad]
        learning += [name for name, each in source.named_buffers() if each.is_floating_point()]
        own, others = self.network.state_dict(), source.state_dict()
        self.own, self.others = [own[name] for name in learning], [others[name] for name in learning]

    def update(self) -> None:
        """decay * average + (1 - decay) * source. Frozen weights are left out."""
        self._average(self.own, self.others, 1)

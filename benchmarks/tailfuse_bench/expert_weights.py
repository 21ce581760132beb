"""Weigh SADE-MM's experts on unlabelled test rows, as its authors do (after SADE, Zhang et al. 2022).

The weights of the experts are chosen so that two views of a row get similar answers: the mean cosine
similarity is raised by SGD (learning rate 0.1) for ten epochs, and it ends early once a weight is below 0.05.
The authors' views are augmented images. A table of features has none, so a view here is a pass through the
network with its dropout on, which changes inputs of every kind.
"""

import copy

import torch
import torch.nn.functional as F
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.modalities.dropout import Dropout
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.baselines.sade_mm import SadeMM
from tailfuse.network.build import AnyNetwork
from tailfuse.network.ragged import encode, scatter
from tailfuse.network.tensors import make_tensors
from torch import Tensor, nn

LEARNING_RATE, EPOCHS, BATCH = 0.1, 10, 128
MIN_WEIGHT = 0.05


def weigh_experts(network: AnyNetwork, rows: SplitArrays, seed: int) -> AnyNetwork:
    """Return a copy of a network of `fusion: sade_mm`, its experts weighed on `rows` without their labels."""
    network = copy.deepcopy(network)
    assert isinstance(network, Baseline)
    assert isinstance(network.fusion, SadeMM)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        views = [
            (compute_view(network, batch), compute_view(network, batch))
            for batch in (rows.take(index.numpy()) for index in torch.arange(len(rows)).split(BATCH))
        ]
    network.fusion.expert_weights.copy_(choose_weights(views, len(network.fusion.expert_weights)))
    return network


@torch.no_grad()
def compute_view(network: Baseline, rows: SplitArrays) -> Tensor:
    """Compute the experts' logits of rows with dropout on: (B, E, C)"""
    assert isinstance(network.fusion, SadeMM)
    inputs, positions, presence = make_tensors(rows.batch())
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Dropout | Dropout):
            module.train()
    present = [
        encode(encoder, inputs[name], training=False)[1]
        for name, encoder in zip(network.modalities, network.encoders, strict=True)
    ]
    network.eval()
    embeddings = scatter(torch.cat(present), [positions[name] for name in network.modalities], len(presence))
    logits, _ = network.fusion.compute_logits(embeddings, presence)
    return logits


def choose_weights(views: list[tuple[Tensor, Tensor]], n_experts: int) -> Tensor:
    """Choose the weights with which two views of each row agree best: pairs of (B, E, C) -> (E,), sum to 1"""
    free = torch.zeros(n_experts, requires_grad=True)
    optimizer = torch.optim.SGD([free], lr=LEARNING_RATE)
    weights = free.detach().softmax(0)
    for _ in range(EPOCHS):
        for pair in views:
            one, other = ((free.softmax(0)[:, None] * each).sum(1).softmax(-1) for each in pair)
            loss = -F.cosine_similarity(one, other, dim=-1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        weights = free.detach().softmax(0)
        if weights.min() < MIN_WEIGHT:
            break
    return weights

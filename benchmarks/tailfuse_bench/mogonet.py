"""MOGONET (Wang et al. 2021, Nature Communications 12, 3445), written from the paper's description.

Each modality has a graph of the samples: two are joined where the cosine similarity of their columns is
above a threshold, such that a sample has K edges on average. A graph convolutional network classifies the
samples of each graph. The outer product of the modalities' class probabilities, C^M numbers, is the input of
two layers that give the answer (view correlation discovery network). The graph networks are trained alone
first, then all together, with balanced class weights.

A test row is joined with the training rows; the edges of a batch's rows among each other are left out. For a
modality that a row lacks, the classes are equally probable. K is chosen on validation rows.

Letters: N rows, D columns of a modality, M modalities, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse_service.bundle import Batch, Output
from torch import Tensor, nn

from tailfuse_bench.rivals.runner.model import balance_weights

EDGES = (2, 5, 10)  # K; the paper's grid is 2 to 10
WIDTHS, DROPOUT, SLOPE = (200, 200, 100), 0.5, 0.25
ALONE_EPOCHS, JOINT_EPOCHS = 200, 400
ALONE_RATE, JOINT_RATE, FUSION_RATE = 1e-3, 5e-4, 1e-3


@dataclass(frozen=True, slots=True)
class Graph:
    """A modality's training rows (N, D), the least similarity of an edge, and the adjacency (N, N)."""

    rows: Tensor
    threshold: float
    adjacency: Tensor

    def extend(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the training rows and others below them, and the normalised adjacency of all."""
        similarity = F.normalize(rows) @ F.normalize(self.rows).T
        across = similarity * (similarity >= self.threshold)
        size = len(rows)
        top = torch.cat([self.adjacency, across.T], dim=1)
        bottom = torch.cat([across, torch.zeros(size, size)], dim=1)
        return torch.cat([self.rows, rows]), normalise(torch.cat([top, bottom]))


class GraphNetwork(nn.Module):
    """Three graph convolutions and a linear classifier."""

    def __init__(self, n_columns: int, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise((n_columns, *WIDTHS)))
        self.classifier = nn.Linear(WIDTHS[-1], n_classes)

    def forward(self, rows: Tensor, adjacency: Tensor) -> Tensor:
        """(N, D), (N, N) -> logits (N, C)"""
        for layer in self.layers[:-1]:
            rows = F.dropout(F.leaky_relu(adjacency @ layer(rows), SLOPE), DROPOUT, self.training)
        logits: Tensor = self.classifier(F.leaky_relu(adjacency @ self.layers[-1](rows), SLOPE))
        return logits


@dataclass(frozen=True, slots=True)
class Mogonet:
    """The trained networks. Callable like a network; weights and confidences are NaN."""

    graphs: Mapping[str, Graph]
    networks: nn.ModuleDict
    fusion: nn.Module
    n_classes: int

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(each.numel() for part in (self.networks, self.fusion) for each in part.parameters())

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Output:
        """Predict rows by the modalities that they have. A row of one has its network's answer."""
        size = len(batch.presence)
        answers = torch.full((size, len(self.graphs), self.n_classes), 1 / self.n_classes)
        for m, (name, graph) in enumerate(self.graphs.items()):
            at = torch.from_numpy(np.asarray(batch.rows[name]))
            if len(at):
                rows, adjacency = graph.extend(torch.from_numpy(batch.inputs[name]).float())
                answers[at, m] = self.networks[name](rows, adjacency)[len(graph.rows) :].softmax(-1)
        presence = torch.from_numpy(batch.presence)
        alone = (answers * presence[:, :, None]).sum(1)
        single = (presence.sum(1) == 1)[:, None]
        joint = torch.where(single, alone, self.fusion(multiply(answers)).softmax(-1))
        unknown = np.full(batch.presence.shape, np.nan, np.float32)
        return Output(joint.numpy(), unknown, unknown)


def fit_mogonet(dataset: Dataset, seed: int) -> Mogonet:
    """Train on the training rows that have every modality; K has the lowest balanced validation loss."""
    train = dataset.train.only(dataset.train.modalities)
    fitted = [fit_with_edges(train, len(dataset.classes), n_edges, seed) for n_edges in EDGES]
    val = dataset.val
    weights = balance_weights(val.labels) if len(val) else np.zeros(0)

    def loss(mogonet: Mogonet) -> float:
        """Compute the class-balanced loss on validation rows."""
        right = mogonet(val.batch()).probabilities[np.arange(len(val)), val.labels]
        return float(-(weights * np.log(np.maximum(right, 1e-9))).sum())

    return min(fitted, key=loss) if len(val) else fitted[0]


def fit_with_edges(train: SplitArrays, n_classes: int, n_edges: int, seed: int) -> Mogonet:
    """Train the graph networks alone, then with the layers that fuse them."""
    torch.manual_seed(seed)
    graphs = {name: make_graph(select_rows(train, name), n_edges) for name in train.modalities}
    inputs = {name: (each.rows, normalise(each.adjacency)) for name, each in graphs.items()}
    networks = nn.ModuleDict(
        {name: GraphNetwork(rows.shape[1], n_classes) for name, (rows, _) in inputs.items()}
    )
    n_products = n_classes ** len(graphs)
    fusion = nn.Sequential(
        nn.Linear(n_products, n_products), nn.LeakyReLU(SLOPE), nn.Linear(n_products, n_classes)
    )
    labels = torch.from_numpy(train.labels)
    weight = torch.from_numpy(balance_weights(train.labels)).float()

    def loss(logits: Tensor) -> Tensor:
        return (F.cross_entropy(logits, labels, reduction="none") * weight).mean()

    alone = torch.optim.Adam(networks.parameters(), ALONE_RATE)
    for _ in range(ALONE_EPOCHS):
        step(alone, [loss(networks[name](*each)) for name, each in inputs.items()])
    together = torch.optim.Adam(
        [
            {"params": networks.parameters(), "lr": JOINT_RATE},
            {"params": fusion.parameters(), "lr": FUSION_RATE},
        ]
    )
    for _ in range(JOINT_EPOCHS):
        logits = [networks[name](*each) for name, each in inputs.items()]
        answer = fusion(multiply(torch.stack(logits, 1).softmax(-1)))
        step(together, [*map(loss, logits), loss(answer)])
    return Mogonet(graphs, networks.eval(), fusion.eval(), n_classes)


def step(optimizer: torch.optim.Optimizer, losses: Sequence[Tensor]) -> None:
    """Take a step on the sum of the losses."""
    optimizer.zero_grad()
    torch.stack(list(losses)).sum().backward()
    optimizer.step()


def make_graph(rows: Tensor, n_edges: int) -> Graph:
    """Join the most similar training rows, `n_edges` for each row on average: (N, D)"""
    similarity = F.normalize(rows) @ F.normalize(rows).T
    similarity.fill_diagonal_(0.0)
    kept = min(n_edges * len(rows), similarity.numel())
    threshold = max(float(similarity.flatten().topk(kept).values[-1]), 1e-6)
    return Graph(rows, threshold, similarity * (similarity >= threshold))


def normalise(adjacency: Tensor) -> Tensor:
    """Return D^-1/2 (A + I) D^-1/2, with D the degrees: (N, N)"""
    with_loops = adjacency + torch.eye(len(adjacency))
    scale = with_loops.sum(1).rsqrt()
    return scale[:, None] * with_loops * scale


def multiply(answers: Tensor) -> Tensor:
    """Return the outer product of the modalities' answers: (N, M, C) -> (N, C^M)"""
    product = answers[:, 0]
    for each in answers.unbind(1)[1:]:
        product = (product[:, :, None] * each[:, None]).flatten(1)
    return product


def select_rows(part: SplitArrays, name: str) -> Tensor:
    """Return the rows of a modality in the order of the samples, all of which have it: (N, D)"""
    rows: NDArray[np.float32] = part.inputs[name][part.position[name]]
    return torch.from_numpy(rows).float()

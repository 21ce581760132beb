"""The encoder of tabular modalities."""

import torch
from tailfuse_service.modalities import TabularModality
from torch import Tensor, nn

from tailfuse.modalities.dropout import Dropout
from tailfuse.modalities.tabular.edges import list_edges
from tailfuse.modalities.tabular.piecewise import PiecewiseLinear


class Mlp(nn.Module):
    """One hidden layer, strongly regularised: on few rows a deeper one only memorises more.

    It is piecewise linear in the columns that have edges.
    """

    def __init__(
        self, modality: TabularModality, *, width: int, dropout: float, input_dropout: float
    ) -> None:
        super().__init__()
        edges = list_edges(modality)
        bins = PiecewiseLinear(modality.width, width, edges, input_dropout) if edges else None
        self.n_columns = modality.width + (bins.bins.in_features if bins else 0)
        self.layers = nn.Sequential(
            *([bins] if bins else [Dropout(input_dropout), nn.Linear(modality.width, width)]),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, columns' slots) float: the rows themselves"""
        return rows

    def spread_columns(self, rows: Tensor) -> Tensor:
        """Return the columns of a linear model: the rows, and their positions in the bins. (n, n_columns)"""
        first = self.layers[0]
        if not isinstance(first, PiecewiseLinear):
            return rows
        return torch.cat([rows, first.compute_positions(rows)], dim=1)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, columns' slots) float -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding

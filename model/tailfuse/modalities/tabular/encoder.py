"""The encoder of tabular modalities."""

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
        self.layers = nn.Sequential(
            *(
                [PiecewiseLinear(modality.width, width, edges, input_dropout)]
                if edges
                else [Dropout(input_dropout), nn.Linear(modality.width, width)]
            ),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, columns' slots) float: the rows themselves"""
        return rows

    def forward(self, rows: Tensor) -> Tensor:
        """(n, columns' slots) float -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding

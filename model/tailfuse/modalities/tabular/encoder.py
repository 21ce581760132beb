"""The encoder of tabular modalities."""

from tailfuse_service.modalities import TabularModality
from torch import Tensor, nn

from tailfuse.modalities.dropout import Dropout


class Mlp(nn.Module):
    """One hidden layer, strongly regularised: on few rows a deeper one only memorises more."""

    def __init__(
        self, modality: TabularModality, *, width: int, dropout: float, input_dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Dropout(input_dropout),
            nn.Linear(modality.width, width),
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

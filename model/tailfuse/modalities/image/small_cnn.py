"""The default encoder of images: a small CNN without weights from elsewhere."""

import math

from tailfuse_service.modalities import ImageModality
from torch import Tensor, nn


class SmallCnn(nn.Module):
    """3x3 convolutions, each halving the image, until it is about 4 x 4; then one linear layer.

    Batch norm, not group norm: at inference it folds into the convolution and costs nothing.
    """

    def __init__(self, modality: ImageModality, *, width: int, dropout: float, input_dropout: float) -> None:
        super().__init__()
        side = min(modality.height, modality.width)
        halvings = max(1, math.ceil(math.log2(side / 4)))
        # A tiny image keeps its size in the first layer: there is nothing to throw away yet.
        strides = [2] * halvings if side >= 32 else [1] + [2] * halvings
        channels = [modality.channels, *(min(16 * 2**i, 128) for i in range(len(strides)))]
        layers: list[nn.Module] = []
        height, breadth = modality.height, modality.width
        for into, out, stride in zip(channels, channels[1:], strides, strict=False):
            layers += [nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            height, breadth = math.ceil(height / stride), math.ceil(breadth / stride)
        self.std, self.shift = modality.std, modality.mean / modality.std
        self.convolutions = nn.Sequential(*layers)
        self.layers = nn.Sequential(
            nn.Dropout(input_dropout),
            nn.Linear(channels[-1] * height * breadth, width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, channels, height, width) 0..255 -> (n, features)"""
        features: Tensor = self.convolutions(rows.float() / self.std - self.shift)
        return features.flatten(1)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, channels, height, width) 0..255 -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding

"""A projection of texts with random singular vectors, where what they are does not matter."""

import torch
from tailfuse.modalities.text.encoder import find_projection
from tailfuse.modalities.text.lsa import LsaProjection
from torch import nn


@torch.no_grad()
def fill_projection(encoder: nn.Module) -> None:
    """Give an encoder's projection random vectors, if it has one."""
    projection = find_projection(encoder)
    if isinstance(projection, LsaProjection):
        random = torch.Generator().manual_seed(0)
        projection.tfidf.idf[1:] = 1.0
        projection.vectors.copy_(torch.randn(projection.vectors.shape, generator=random))

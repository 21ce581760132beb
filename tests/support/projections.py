"""A projection of texts with random singular vectors, where what they are does not matter."""

import torch
from tailfuse.modalities.text.encoder import Lsa
from torch import nn


@torch.no_grad()
def fill_projection(encoder: nn.Module) -> None:
    """Give an encoder's projection random vectors, if it has one."""
    if isinstance(encoder, Lsa) and encoder.projection is not None:
        random = torch.Generator().manual_seed(0)
        encoder.projection.tfidf.idf[1:] = 1.0
        shape = encoder.projection.vectors.shape
        encoder.projection.vectors.copy_(torch.randn(shape, generator=random))

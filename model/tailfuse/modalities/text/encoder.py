"""The encoders of text modalities: latent semantic analysis, a BERT, and a bag of hashed n-grams."""

from tailfuse_service.modalities import TextModality
from torch import Tensor, nn

from tailfuse.modalities.dropout import Dropout
from tailfuse.modalities.pretrained import Scale
from tailfuse.modalities.text.bert import SentenceBert
from tailfuse.modalities.text.lsa import LsaProjection


class Lsa(nn.Module):
    """One hidden layer on a text's position among the singular vectors of the training texts.

    The projection is frozen: training computes the features of every text once, and takes these for rows.
    """

    ragged = True

    def __init__(self, modality: TextModality, *, width: int, dropout: float, input_dropout: float) -> None:
        super().__init__()
        assert modality.dimensions is not None
        self.buckets = modality.buckets
        self.projection: LsaProjection | None = LsaProjection(modality.buckets, modality.dimensions)
        self.layers = make_layers(modality.dimensions, width, dropout, input_dropout)

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, L, 2) ids and counts of n-grams, or (n, D) features -> (n, D)"""
        if rows.is_floating_point():
            return rows
        assert self.projection is not None
        features: Tensor = self.projection(rows)
        return features

    def forward(self, rows: Tensor) -> Tensor:
        """(n, L, 2), or (n, D) features -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding


class BertProjection(nn.Module):
    """The sentence embedding of a frozen BERT, each dimension standardised on the training texts."""

    def __init__(self, bert: SentenceBert, dimensions: int) -> None:
        super().__init__()
        self.bert = bert
        self.scale = Scale(dimensions)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, tokens) -> (n, D)"""
        features: Tensor = self.scale(self.bert(rows))
        return features


class Bert(nn.Module):
    """One hidden layer on a frozen BERT's embedding of a text, which training computes once as well."""

    ragged = True

    def __init__(
        self, bert: SentenceBert, modality: TextModality, *, width: int, dropout: float, input_dropout: float
    ) -> None:
        super().__init__()
        assert modality.dimensions is not None
        self.projection: BertProjection | None = BertProjection(bert, modality.dimensions)
        self.layers = make_layers(modality.dimensions, width, dropout, input_dropout)

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, tokens) ids plus 1, 0 is padding, or (n, D) features -> (n, D)"""
        if rows.is_floating_point():
            return rows
        assert self.projection is not None
        features: Tensor = self.projection(rows)
        return features

    def forward(self, rows: Tensor) -> Tensor:
        """(n, tokens), or (n, D) features -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding


def make_layers(dimensions: int, width: int, dropout: float, input_dropout: float) -> nn.Sequential:
    """Make the hidden layer on the features of a frozen encoder: (n, D) -> (n, width)"""
    return nn.Sequential(
        Dropout(input_dropout),
        nn.Linear(dimensions, width),
        nn.ReLU(),
        nn.LayerNorm(width, elementwise_affine=False),
        Dropout(dropout),
    )


class Bag(nn.Module):
    """The mean embedding of a text's n-grams; word order counts only within an n-gram."""

    ragged = True

    def __init__(self, modality: TextModality, *, width: int, dropout: float, input_dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(modality.buckets + 1, width, padding_idx=0)
        nn.init.normal_(self.embed.weight, std=0.05)
        nn.init.zeros_(self.embed.weight[0])
        self.input_dropout = nn.Dropout(input_dropout)
        self.layers = nn.Sequential(
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, tokens) hashed n-grams, 0 is padding -> (n, width), their mean embedding"""
        # The padding is masked by hand: a row's answer must not depend on how far it was padded.
        kept = self.input_dropout((rows > 0).float())
        total = (self.embed(rows) * kept[:, :, None]).sum(1)
        mean: Tensor = total / kept.sum(1).clamp(min=1.0)[:, None]
        return mean

    def forward(self, rows: Tensor) -> Tensor:
        """(n, tokens) -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding

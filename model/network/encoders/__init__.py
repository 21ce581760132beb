"""Encoders: the present rows of one modality become embeddings of one width. A registry by name."""

from collections.abc import Callable

from torch import nn

from model.errors import SpecError
from model.network.encoders.bag import Bag
from model.network.encoders.mlp import Mlp
from model.network.encoders.pretrained import efficientnet_lite0, timm_encoder
from model.network.encoders.small_cnn import SmallCnn
from service.bundle.manifest import Modality

Build = Callable[..., nn.Module]

ENCODERS: dict[str, dict[str, Build]] = {
    "image": {"small_cnn": SmallCnn, "efficientnet_lite0": efficientnet_lite0},
    "tabular": {"mlp": Mlp},
    "text": {"bag": Bag},
}


def encoder_names(kind: str) -> list[str]:
    """What `encoder:` may say for a kind."""
    return [*ENCODERS[kind], *(["timm/<name>"] if kind == "image" else [])]


def check_encoder(name: str, kind: str) -> None:
    """Raises SpecError for a name that no encoder has."""
    if name not in ENCODERS[kind] and not (kind == "image" and name.startswith("timm/")):
        known = ", ".join(encoder_names(kind))
        raise SpecError(f"encoder: '{name}' is no encoder for kind '{kind}'; known: {known}")


def build_encoder(
    name: str, modality: Modality, *, width: int, dropout: float, input_dropout: float
) -> nn.Module:
    """The encoder called `name` for a modality: forward (n, ...) -> (n, width). Raises SpecError."""
    if modality.kind == "image" and name.startswith("timm/"):
        return timm_encoder(name.removeprefix("timm/"), modality, width=width, dropout=dropout)
    check_encoder(name, modality.kind)
    build = ENCODERS[modality.kind][name]
    return build(modality, width=width, dropout=dropout, input_dropout=input_dropout)

"""Encoders: the present rows of one modality become embeddings of one width. A registry by name."""

from collections.abc import Callable

from tailfuse_service.modalities import Modality
from torch import nn

from tailfuse.errors import SpecError
from tailfuse.network.encoders.bag import Bag
from tailfuse.network.encoders.mlp import Mlp
from tailfuse.network.encoders.pretrained import efficientnet_lite0, timm_encoder
from tailfuse.network.encoders.series import Conv
from tailfuse.network.encoders.small_cnn import SmallCnn
from tailfuse.spec.schema import Trained

Build = Callable[..., nn.Module]

ENCODERS: dict[str, dict[str, Build]] = {
    "image": {"small_cnn": SmallCnn, "efficientnet_lite0": efficientnet_lite0},
    "tabular": {"mlp": Mlp},
    "text": {"bag": Bag},
    "series": {"conv": Conv},
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
    name: str,
    modality: Modality,
    *,
    width: int,
    dropout: float,
    input_dropout: float,
    trained: Trained = "none",
    flips: bool = False,
) -> nn.Module:
    """The encoder called `name` for a modality: forward (n, ...) -> (n, width). Raises SpecError.

    `trained` and `flips` are for the pretrained ones.
    """
    if modality.kind == "image" and name.startswith("timm/"):
        return timm_encoder(
            name.removeprefix("timm/"), modality, width=width, dropout=dropout, trained=trained, flips=flips
        )
    check_encoder(name, modality.kind)
    if modality.kind == "image" and name == "efficientnet_lite0":
        return efficientnet_lite0(modality, width=width, dropout=dropout, trained=trained, flips=flips)
    build = ENCODERS[modality.kind][name]
    return build(modality, width=width, dropout=dropout, input_dropout=input_dropout)

"""Encoders: the present rows of one modality become embeddings of one width. A registry by name."""

from collections.abc import Callable
from typing import Any

from torch import nn

from model.errors import SpecError
from model.network.encoders.bag import Bag
from model.network.encoders.mlp import Mlp
from model.network.encoders.pretrained import efficientnet_lite0, timm_encoder
from model.network.encoders.series import Conv
from model.network.encoders.small_cnn import SmallCnn
from model.spec.schema import Trained
from service.bundle.manifest import Modality

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
) -> nn.Module:
    """The encoder called `name` for a modality: forward (n, ...) -> (n, width). Raises SpecError.

    `trained` is how much of a pretrained one is; the others always are.
    """
    settings: dict[str, Any] = {"width": width, "dropout": dropout, "input_dropout": input_dropout}
    if modality.kind == "image" and name.startswith("timm/"):
        return timm_encoder(name.removeprefix("timm/"), modality, trained=trained, **settings)
    check_encoder(name, modality.kind)
    if name == "efficientnet_lite0":
        settings["trained"] = trained
    return ENCODERS[modality.kind][name](modality, **settings)

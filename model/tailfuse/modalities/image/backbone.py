"""A network without its classifier as the backbone of an image encoder."""

from typing import NamedTuple

import torch
from tailfuse_service.modalities import ImageModality
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.modalities.image.spec import Flips
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.modalities.spec import Trained

MATRIX_DIMS = 2  # a weight of a convolution or of a linear layer has at least as many axes
SEQUENCES = (nn.Sequential, nn.ModuleList)
MIN_BLOCK_LAYERS = 2  # of a block; a module with fewer belongs to the head behind it


class EncoderSettings(NamedTuple):
    """The keys of a spec for an encoder that is built on a backbone."""

    width: int
    dropout: float
    trained: Trained = "none"
    flips: Flips = False


class Backbone(nn.Module):
    """A network that makes feature maps or vectors, and the scale of its pixels.

    With `flips` the features are the mean over an image and its mirror image, or over all four if it is
    True. That takes twice or four times as long.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, *, mean: tuple[float, ...], std: tuple[float, ...], flips: Flips = False
    ) -> None:
        super().__init__()
        for weight in network.parameters():
            if weight.dim() == 4:  # as convolutions like it: two thirds of the time on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.network = network
        self.flips = flips
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255)

    def extra_repr(self) -> str:
        return f"flips={self.flips}"  # a cache of features tells backbones apart by it

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1 or 3, height, width) 0..255 -> (n, features), the mean over the image"""
        pixels = images.float().expand(-1, 3, -1, -1)  # a grey image is three equal channels
        pixels = (pixels - self.mean) / self.std
        copies = list_copies(pixels, self.flips)
        features: Tensor = self.network(torch.cat(copies) if len(copies) > 1 else pixels)
        features = features.mean((2, 3)) if features.dim() == 4 else features
        if len(copies) == 1:
            return features
        return features.reshape(len(copies), -1, features.shape[1]).mean(0)


def list_copies(pixels: Tensor, flips: Flips) -> list[Tensor]:
    """List the images, (n, channels, height, width), and those of their mirror images that count."""
    if not flips:
        return [pixels]
    if flips == "horizontal":
        return [pixels, pixels.flip(3)]
    return [pixels, pixels.flip(3), pixels.flip(2), pixels.flip(2, 3)]


def find_last_block(network: nn.Module) -> tuple[str, ...]:
    """Find the last block of a network and its head: how the names of their parameters begin.

    Blocks are children of the network, or of a sequence that is its child: `layer4.2.` of a ResNet-50;
    `blocks.6.`, `conv_head.` and `bn2.` of an EfficientNet.
    """
    prefix, children = "", list_children(network)
    while len(children) == 1 and not isinstance(children[0][1], SEQUENCES):  # it only wraps another one
        prefix += f"{children[0][0]}."
        children = list_children(children[0][1])
    units: list[tuple[str, nn.Module]] = []
    for name, child in children:
        if isinstance(child, SEQUENCES):
            units += [(f"{prefix}{name}.{index}.", block) for index, block in list_children(child)]
        else:
            units.append((f"{prefix}{name}.", child))
    last = []
    for name, unit in reversed(units):
        last.append(name)
        if sum(parameter.dim() >= MATRIX_DIMS for parameter in unit.parameters()) >= MIN_BLOCK_LAYERS:
            break
    return tuple(last)


def list_children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the children that have parameters, by name."""
    return [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]


def build_on_backbone(
    network: nn.Module,
    modality: ImageModality,
    settings: EncoderSettings,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Pretrained:
    """Build an encoder on a network whose weights are loaded. Raises SpecError."""
    backbone = Backbone(network, mean=mean, std=std, flips=settings.flips)
    example = torch.zeros(1, modality.channels, modality.height, modality.width)
    last = tuple(f"network.{name}" for name in find_last_block(network))
    try:
        return Pretrained(
            backbone, example, last=last,
            width=settings.width, dropout=settings.dropout, trained=settings.trained,
        )  # fmt: skip
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        size = f"{modality.height} x {modality.width}"
        raise SpecError(f"size: the encoder does not take images of {size}: {why}") from error

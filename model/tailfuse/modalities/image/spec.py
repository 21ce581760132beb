"""The keys of an image modality in a spec."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from tailfuse.files.cells import Unreadable
from tailfuse.modalities.spec import ModalitySpec, Name, Trained

TIMM = "timm/"  # a name behind it is a model whose weights timm fetches
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
WEIGHT_FILES = f"<file>{' or '.join(WEIGHT_SUFFIXES[:2])}"  # as messages name them
SMALL_CNN = "small_cnn"

Flips = bool | Literal["horizontal"]


def is_weights_file(encoder: str) -> bool:
    """Return whether an encoder is given as a local file of weights."""
    return not encoder.startswith(TIMM) and encoder.endswith(WEIGHT_SUFFIXES)


def _flips(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    try:
        return parse(value)
    except ValidationError:  # one message in place of one for each type
        raise ValueError("takes true (all four mirror images), horizontal (two) or false") from None


def _size(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError("takes one number, or [height, width]")
        return value
    return value, value


class ImageSpec(ModalitySpec):
    """Images: paths relative to the table, or bytes."""

    kind: Literal["image"]
    column: Name
    """Column of paths, relative to the table, or of bytes."""
    size: Annotated[
        tuple[Annotated[int, Field(ge=4, le=2048)], Annotated[int, Field(ge=4, le=2048)]],
        BeforeValidator(_size),
    ] = (64, 64)
    """Size that images are resized to: one number, or [height, width]."""
    range: tuple[float, float] | None = None
    """Pixel values that become black and white. null: those of the training images."""
    unreadable: Unreadable = "stop"
    """Whether files that are empty, damaged or not there stop the training or count as missing."""
    encoder: Name = SMALL_CNN
    """`small_cnn`, `efficientnet_lite0`, `efficientnet_lite2`, `timm/<name>`, or a local file of weights
    (`.safetensors` or `.pth`), relative to the spec's folder."""
    architecture: Annotated[Name | None, Field(validate_default=True)] = None
    """Network that a local file has the weights of: a name of torchvision or timm such as `resnet50`, or
    `efficientnet_lite0` to `efficientnet_lite4`."""
    trained: Trained = "none"
    """How much of a pretrained encoder is trained: nothing, its last block, or all of it."""
    flips: Annotated[Flips, WrapValidator(_flips)] = False
    """Whether a mirror image has the same class. The encoder then takes the mean over the image and its
    `horizontal` mirror image, at twice the cost, or over four flips (true), at four times the cost. For
    pretrained encoders."""
    augment: bool = True
    """Whether training images are shifted, turned, scaled and lit at random."""

    @field_validator("range")
    @classmethod
    def _range_is_not_empty(cls, given: tuple[float, float] | None) -> tuple[float, float] | None:
        if given is not None and not given[0] < given[1]:
            raise ValueError("takes [lowest, highest], the first below the second")
        return given

    @field_validator("architecture")
    @classmethod
    def _architecture_is_of_a_file(cls, given: str | None, info: ValidationInfo) -> str | None:
        encoder = info.data.get("encoder")
        is_file = encoder is not None and is_weights_file(encoder)
        if is_file and given is None:
            raise ValueError(f"architecture is required with {encoder}, such as resnet50")
        if encoder is not None and given is not None and not is_file:
            raise ValueError(f"is for an encoder that is a local file, {WEIGHT_FILES}")
        return given

    @field_validator("trained")
    @classmethod
    def _can_be_trained_so(cls, trained: Trained, info: ValidationInfo) -> Trained:
        if info.data.get("encoder") == SMALL_CNN and trained != "none":
            raise ValueError(
                "is to be left out with small_cnn, which has no pretrained weights and is always trained"
            )
        return trained

    @field_validator("flips")
    @classmethod
    def _can_be_flipped(cls, flips: Flips, info: ValidationInfo) -> Flips:
        if flips and info.data.get("encoder") == SMALL_CNN:
            raise ValueError("is for pretrained encoders, not for small_cnn")
        return flips

    @property
    def weights_path(self) -> Path | None:
        return Path(self.encoder) if is_weights_file(self.encoder) else None

    def resolve_paths(self, folder: Path) -> Self:
        path = self.weights_path
        return self if path is None else self.model_copy(update={"encoder": str((folder / path).absolute())})

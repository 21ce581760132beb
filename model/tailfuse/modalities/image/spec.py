"""The keys of an image modality in a spec."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from tailfuse.files.cells import Unreadable
from tailfuse.modalities.spec import ModalitySpec, Name, Trained


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
    encoder: Name = "small_cnn"
    """`small_cnn`, `efficientnet_lite0` or `timm/<name>`."""
    trained: Trained = "none"
    """How much of a pretrained encoder is trained: nothing, its last block, or all of it."""
    flips: bool = False
    """Whether a mirror image has the same class. The encoder then takes the mean over four flips, at four
    times the cost. For pretrained encoders."""
    augment: bool = True
    """Whether training images are shifted, turned, scaled and lit at random."""

    @field_validator("range")
    @classmethod
    def _range_is_not_empty(cls, given: tuple[float, float] | None) -> tuple[float, float] | None:
        if given is not None and not given[0] < given[1]:
            raise ValueError("takes [lowest, highest], the first below the second")
        return given

    @field_validator("trained")
    @classmethod
    def _can_be_trained_so(cls, trained: Trained, info: ValidationInfo) -> Trained:
        encoder = str(info.data.get("encoder"))
        if encoder == "small_cnn" and trained != "none":
            raise ValueError(
                "is to be left out with small_cnn, which has no pretrained weights and is always trained"
            )
        if encoder.startswith("timm/") and trained == "last":
            raise ValueError("a model of timm is trained as a whole or not at all: all, or none")
        return trained

    @field_validator("flips")
    @classmethod
    def _can_be_flipped(cls, flips: bool, info: ValidationInfo) -> bool:
        if flips and info.data.get("encoder") == "small_cnn":
            raise ValueError("is for pretrained encoders, not for small_cnn")
        return flips

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
    """Images: paths relative to the table, or bytes. `size` is (height, width), or one number for both.

    `trained` says how much of a pretrained encoder is trained: none, its last block, or all of it. `flips`:
    a mirror image is of the same class, and the encoder takes the mean over all four, at four times the cost.
    `range`: pixel values that become black and white, instead of those of the training images. `unreadable`:
    whether files that are empty, damaged or not there stop the training, or count as missing.
    """

    kind: Literal["image"]
    column: Name
    size: Annotated[
        tuple[Annotated[int, Field(ge=4, le=2048)], Annotated[int, Field(ge=4, le=2048)]],
        BeforeValidator(_size),
    ] = (64, 64)
    range: tuple[float, float] | None = None
    unreadable: Unreadable = "stop"
    encoder: Name = "small_cnn"
    trained: Trained = "none"
    flips: bool = False
    augment: bool = True

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

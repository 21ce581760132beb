"""The image kind: files such as JPEG and PNG."""

import io
import math
from base64 import b64encode
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from tailfuse_service.modalities.image.features import ImageFeatures
from tailfuse_service.modalities.image.formats import DEFAULT_FORMATS, LEGACY_FORMATS
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.modalities.modality import MAX_POINTS, Modality, Summary, SummaryValues
from tailfuse_service.modalities.tensor import BYTES, Tensor, TensorForm, read_elements

MAX_SIDE = 4096  # pixels: an array is made before a graph can refuse its shape


class ImageModality(Modality):
    """uint8 rows of (channels, height, width); the graph scales them itself.

    The defaults are those of bundles from before there were such fields.
    """

    part: ClassVar[Literal["file"]] = "file"
    part_description: ClassVar[str] = "The image file (JPEG, PNG, …)."
    media_type: ClassVar[str] = "image/*"

    kind: Literal["image"] = "image"
    column: str
    height: int = Field(ge=1, le=MAX_SIDE)
    width: int = Field(ge=1, le=MAX_SIDE)
    channels: Literal[1, 3]
    range: tuple[float, float] | None = None  # pixel values that become 0..255; None: 8 bits as they are
    deep: bool = False  # the training images had more than 8 bits
    # Of pixels 0..255, by which the default encoder standardises them. Ordinary images have these.
    mean: float = 127.5
    std: float = Field(default=127.5, gt=0)
    formats: tuple[str, ...] | None = None  # of the training images
    unreadable: Literal["stop", "missing"] = "stop"  # what a file in a table that cannot be read does
    weights_sha256: str | None = None  # of the local file that the pretrained encoder's weights came from

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("range: the first number must be below the second")
        return self

    @property
    def column_names(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def max_row_bytes(self) -> int:
        return self.channels * self.height * self.width

    def features(self, name: str, limits: Limits = DEFAULT_LIMITS) -> ImageFeatures:
        formats = LEGACY_FORMATS if self.formats is None else DEFAULT_FORMATS.union(self.formats)
        return ImageFeatures(
            name, height=self.height, width=self.width, channels=self.channels, pixel_range=self.range,
            deep=self.deep, formats=formats.union(limits.image_formats), limits=limits,
        )  # fmt: skip

    def input_schema(self) -> dict[str, Any]:
        return {
            "description": "The image file (JPEG, PNG, …) in base64; "
            f"scaled to {self.width} x {self.height}.",
            "type": ["string", "null"],
            "contentEncoding": "base64",
        }

    def example(self) -> str:
        """Return a small grey gradient, as a PNG in base64."""
        mode = "L" if self.channels == 1 else "RGB"
        file = io.BytesIO()
        Image.linear_gradient("L").resize((16, 16)).convert(mode).save(file, "PNG", optimize=True)
        return b64encode(file.getvalue()).decode()

    def tensor_form(self) -> TensorForm:
        return TensorForm(BYTES)

    def read_tensor(self, tensor: Tensor, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
        return [element or None for element in read_elements(tensor, tensor.name)]

    def summary(self) -> Summary:
        """Mean and standard deviation of the pixels, and mean difference of neighbours, all 0..1."""
        step = math.ceil(math.sqrt(self.height * self.width / MAX_POINTS))
        columns = np.arange(0, self.width, step)
        neighbours = np.minimum(columns + 1, self.width - 1)

        def compute(rows: NDArray[Any]) -> SummaryValues:
            lines = rows[:, :, ::step].astype(np.float32) / np.float32(255)
            pixels = lines[..., columns]
            steps = np.abs(lines[..., neighbours] - pixels)
            axes = (1, 2, 3)
            return np.stack([pixels.mean(axes), pixels.std(axes), steps.mean(axes)], axis=1)

        return Summary(["brightness", "contrast", "detail"], compute)

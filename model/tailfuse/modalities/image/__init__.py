"""The image kind in training."""

from tailfuse.modalities.image.kind import ImageKind
from tailfuse.modalities.image.spec import ImageSpec

__all__ = ["ImageKind", "ImageSpec"]

"""The image kind."""

from tailfuse_service.modalities.image.modality import ImageModality

__all__ = ["ImageModality"]

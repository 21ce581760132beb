"""The text kind."""

from tailfuse_service.modalities.text.modality import TextModality

__all__ = ["TextModality"]

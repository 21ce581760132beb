"""The text kind in training."""

from tailfuse.modalities.text.kind import TextKind, TextSpec

__all__ = ["TextKind", "TextSpec"]

"""The tabular kind in training."""

from tailfuse.modalities.tabular.kind import TabularKind, TabularSpec

__all__ = ["TabularKind", "TabularSpec"]

"""The time-series kind in training."""

from tailfuse.modalities.series.kind import SeriesKind, SeriesSpec

__all__ = ["SeriesKind", "SeriesSpec"]

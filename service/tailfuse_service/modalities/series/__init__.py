"""The time-series kind."""

from tailfuse_service.modalities.series.features import Steps, read_steps, shorten, with_noun
from tailfuse_service.modalities.series.modality import Channel, SeriesEncoder, SeriesModality

__all__ = ["Channel", "SeriesEncoder", "SeriesModality", "Steps", "read_steps", "shorten", "with_noun"]

"""The kinds of modalities, registered here: each is one class with all that the service does for it."""

from tailfuse_service.modalities.image import ImageModality
from tailfuse_service.modalities.modality import KINDS, AnyModality, Features, Modality, Summary, register
from tailfuse_service.modalities.series import SeriesModality
from tailfuse_service.modalities.tabular import TabularModality
from tailfuse_service.modalities.text import TextModality

__all__ = [
    "KINDS",
    "AnyModality",
    "Features",
    "ImageModality",
    "Modality",
    "SeriesModality",
    "Summary",
    "TabularModality",
    "TextModality",
    "register",
]

register(ImageModality)
register(TabularModality)
register(TextModality)
register(SeriesModality)

"""The kinds of modalities, registered here: each is one class with all that training needs of it."""

from tailfuse.modalities.image import ImageKind, ImageSpec
from tailfuse.modalities.kind import KINDS, Kind, register
from tailfuse.modalities.series import SeriesKind, SeriesSpec
from tailfuse.modalities.spec import ModalitySpec
from tailfuse.modalities.tabular import TabularKind, TabularSpec
from tailfuse.modalities.text import TextKind, TextSpec

__all__ = [
    "KINDS",
    "ImageKind",
    "ImageSpec",
    "Kind",
    "ModalitySpec",
    "SeriesKind",
    "SeriesSpec",
    "TabularKind",
    "TabularSpec",
    "TextKind",
    "TextSpec",
    "register",
]

register(ImageKind())
register(TabularKind())
register(TextKind())
register(SeriesKind())

"""Multimodal classification for long-tailed data with missing modalities: from a table to a served bundle."""

from importlib.metadata import version

__version__ = version("tailfuse")

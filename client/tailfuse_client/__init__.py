"""Client of a tailfuse service: `Client`, or `AsyncClient` with the same methods."""

from tailfuse_client.answers import (
    Answer,
    ClassInfo,
    Explanation,
    Modality,
    ModelInfo,
    ModelName,
    PartAnswer,
)
from tailfuse_client.async_client import AsyncClient
from tailfuse_client.client import Client
from tailfuse_client.problems import NoAnswer, Problem
from tailfuse_client.rows import inputs_of_row
from tailfuse_client.values import Text

__all__ = [
    "Answer",
    "AsyncClient",
    "ClassInfo",
    "Client",
    "Explanation",
    "Modality",
    "ModelInfo",
    "ModelName",
    "NoAnswer",
    "PartAnswer",
    "Problem",
    "Text",
    "inputs_of_row",
]

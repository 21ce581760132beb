"""Ask a tailfuse service: `Client`, or `AsyncClient` with the same methods."""

from tailfuse_client.answers import Answer, ClassInfo, Modality, ModelInfo, ModelName
from tailfuse_client.async_client import AsyncClient
from tailfuse_client.client import Client
from tailfuse_client.problems import NoAnswer, Problem
from tailfuse_client.rows import inputs_of_row

__all__ = [
    "Answer",
    "AsyncClient",
    "ClassInfo",
    "Client",
    "Modality",
    "ModelInfo",
    "ModelName",
    "NoAnswer",
    "Problem",
    "inputs_of_row",
]

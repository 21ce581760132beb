"""Clients of an application, and images to send."""

import io
from collections.abc import Callable
from typing import Any

import httpx2
from PIL import Image
from starlette.testclient import TestClient

from tests.support.process import TIMEOUT_S, Service

ClientOf = Callable[..., TestClient]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def without_id(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "request_id"}


def http_client(service: Service) -> httpx2.Client:
    limits = httpx2.Limits(max_connections=64)
    return httpx2.Client(base_url=service.url, timeout=TIMEOUT_S, limits=limits, trust_env=False)

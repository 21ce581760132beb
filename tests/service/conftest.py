"""Applications around the tiny bundle, and pictures."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.settings import Settings

ClientOf = Callable[..., TestClient]


@pytest.fixture
def client_of(tiny_bundle: Path) -> Iterator[ClientOf]:
    """Makes a started client of an application with these settings; `bundle=None` is one without."""
    clients: list[TestClient] = []

    def start(bundle: Bundle | None, **settings: Any) -> TestClient:
        app = create_app(Settings(bundle=tiny_bundle, **settings), *([bundle] if bundle else []))
        client = TestClient(app, raise_server_exceptions=False).__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__()


@pytest.fixture
def client(client_of: ClientOf, bundle: Bundle) -> TestClient:
    """An application with the tiny bundle and the default settings."""
    return client_of(bundle)


@pytest.fixture
def picture() -> bytes:
    """A small PNG."""
    return encoded(Image.linear_gradient("L").resize((20, 20)).convert("RGB"))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()

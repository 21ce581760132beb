"""A real service with the tiny bundle, and one way to ask for both clients."""

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tailfuse_client import AsyncClient, Client

from tests.support.call import TABLE
from tests.support.keys import KEY
from tests.support.process import Service, start_service
from tests.support.script import Script


@pytest.fixture(scope="session")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "keys").write_text(f"tests: {KEY}\n")
    started = start_service(tiny_bundle, "--api-keys", str(folder / "keys"), log=folder / "service.log")
    yield started
    assert started.stop() == 0


@pytest.fixture
def folder(tmp_path: Path, picture: bytes) -> Path:
    """A folder with a table, one of its images, and a sample's columns."""
    (tmp_path / "lesion.png").write_bytes(picture)
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "clinical.json").write_text('{"age": 61, "site": "back"}')
    return tmp_path


@pytest.fixture
def script() -> Iterator[Script]:
    with Script() as started:
        yield started


def ask_sync(url: str, method: str, *arguments: Any, options: Any, **keywords: Any) -> Any:
    with Client(url, **options) as client:
        found = getattr(client, method)(*arguments, **keywords)
        return list(found) if method == "predict_batch" else found


def ask_async(url: str, method: str, *arguments: Any, options: Any, **keywords: Any) -> Any:
    async def asked() -> Any:
        async with AsyncClient(url, **options) as client:
            found = getattr(client, method)(*arguments, **keywords)
            return [each async for each in found] if method == "predict_batch" else await found

    return asyncio.run(asked())


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`ask(url, method, *arguments, options={…of the client}, **keywords)`, by either client."""
    way = ask_sync if request.param == "sync" else ask_async
    return lambda *arguments, options=None, **keywords: way(*arguments, options=options or {}, **keywords)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a client makes, and nobody waits for: time goes on by just these."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    for module in ("client", "async_client"):
        monkeypatch.setattr(f"tailfuse_client.{module}.monotonic", lambda: sum(pauses))
    monkeypatch.setattr("tailfuse_client.client.sleep", pauses.append)
    monkeypatch.setattr("tailfuse_client.async_client.sleep", pause)
    monkeypatch.setattr("tailfuse_client.retries.random.random", lambda: 0.5)
    return pauses


@pytest.fixture
def picture() -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((20, 20)).convert("RGB").save(file, "PNG")
    return file.getvalue()

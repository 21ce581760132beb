"""A connection in memory, which a test plays on."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.settings import Settings

from tests.support.connection import KEY, Connection


@pytest.fixture
def drive(bundle: Bundle, tiny_bundle: Path) -> Callable[..., Any]:
    """Run a coroutine function on a connection to an application with these settings; all must end well."""

    def start(play: Callable[[Connection], Awaitable[Any]], **changes: Any) -> Any:
        async def run() -> Any:
            app = create_app(Settings(bundle=tiny_bundle, **changes), bundle)
            connection = Connection(app)
            try:
                return await play(connection)
            finally:
                connection.lose()
                for _ in range(5000):  # a run that has begun ends first
                    await asyncio.sleep(0.001)
                    if not app.in_flight:
                        break
                assert app.in_flight == 0
                await app.registry.close()

        return asyncio.run(run())

    return start


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"me: {KEY}\n")
    return path

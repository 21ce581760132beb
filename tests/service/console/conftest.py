"""Chromium, and pages of the console in it.

A page that reports an error or asks another host fails its test.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Console, launch
from tests.support.bundles import write_tiny_bundle
from tests.support.keys import KEY
from tests.support.process import Service, start_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# Of a module, not of the session: Playwright's event loop stays the thread's running one, in which no other
# test can run a loop of its own.
@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    yield from launch()


@pytest.fixture(scope="module")
def tiny_service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tiny_bundle, log=tmp_path_factory.mktemp("console") / "service.log")
    yield service
    assert service.stop() == 0


@pytest.fixture
def start_console(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services of the test's own."""
    services: list[Service] = []

    def start(bundle: Path, *flags: str) -> Service:
        services.append(start_service(bundle, *flags, log=tmp_path / f"service-{len(services)}.log"))
        return services[-1]

    yield start
    for service in services:
        assert service.stop() == 0


@pytest.fixture
def console(
    chromium: "Browser", tiny_service: Service, start_console: Callable[..., Service]
) -> Iterator[Callable[..., Console]]:
    """Opens the console in a browser of its own; options are those of Playwright's `new_context`.

    The pages are closed before the services of `start_console`.
    """
    opened: list[Console] = []

    def open_console(url: str = tiny_service.url, **options: Any) -> Console:
        opened.append(Console(chromium.new_context(**options), url))
        return opened[-1]

    yield open_console
    for each in opened:
        each.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two versions of a model."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    for version in ("1", "2"):
        write_tiny_bundle(folder / f"v{version}", version=version)
    return folder


@pytest.fixture
def admin_keys(tmp_path: Path) -> Path:
    path = tmp_path / "admins"
    path.write_text(f"root: {KEY}\n")
    return path


@pytest.fixture
def operated(
    start_console: Callable[..., Service], console: Callable[..., Console], folder: Path, admin_keys: Path
) -> Console:
    """Watch with an admin key, at a service of two versions."""
    page = console(start_console(folder, "--admin-keys", str(admin_keys)).url).show("watch")
    page.use_admin_key()
    return page

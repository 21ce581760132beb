"""/docs in Chromium: a form that is filled in there and sent holds what was filled in, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.browser import TIMEOUT_MS, launch
from tests.support.process import start_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.needs("chromium"), pytest.mark.slow]

# Playwright does not show bodies with files: keep the parts of each form that the page sends.
KEEP_FORMS = """
window.forms = [];
const send = window.fetch;
const describe = (part) => part.name?.endsWith(".png") ? part.name : new Response(part).text();
window.fetch = async (resource, options) => {
  if (options?.body instanceof FormData) {
    const parts = [...options.body].map(async ([name, part]) => [name, await describe(part)]);
    window.forms.push(await Promise.all(parts));
  }
  return send(resource, options);
};
"""


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    yield from launch()


@pytest.fixture
def page(chromium: "Browser", tiny_bundle: Path, tmp_path: Path) -> "Iterator[Page]":
    """Yield /docs of the tiny bundle's service. It must load nothing from another host."""
    service = start_service(tiny_bundle, log=tmp_path / "service.log")
    opened = chromium.new_page()
    opened.set_default_timeout(TIMEOUT_MS)
    opened.add_init_script(KEEP_FORMS)
    hosts: set[str] = set()
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    opened.goto(f"{service.url}/docs")
    yield opened
    opened.close()
    assert service.stop() == 0
    assert hosts <= {urlsplit(service.url).netloc, ""}  # data: has none


def open_form(page: "Page") -> "Locator":
    """Open `predict`, choose the form, and return the operation. It can be tried without a click."""
    operation = page.locator("#operations-prediction-predict")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".opblock-section-request-body select").first.select_option("multipart/form-data")
    operation.locator("tr[data-property-name=image] input[type=file]").wait_for()
    return operation


def send_form(page: "Page", operation: "Locator") -> tuple[list[list[str]], dict[str, Any]]:
    """Send the form; return its parts, with a file's name as its value, and the answer."""
    with page.expect_response("**/predict*") as answered:
        operation.get_by_role("button", name="Execute").click()
    answer: dict[str, Any] = answered.value.json()
    [form] = page.evaluate("window.forms")
    return form, answer


def list_present(answer: dict[str, Any]) -> list[str]:
    return [name for name, modality in answer["modalities"].items() if modality["present"]]


def test_a_form_with_one_image_sends_that_image_alone(page: "Page", picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "lesion.png").write_bytes(picture)
    operation = open_form(page)
    operation.locator("input[type=file]").set_input_files(tmp_path / "lesion.png")
    form, answer = send_form(page, operation)
    assert form == [["image", "lesion.png"]]
    assert list_present(answer) == ["image"]


def test_a_form_with_one_text_sends_that_text_alone(page: "Page") -> None:
    operation = open_form(page)
    operation.locator("tr[data-property-name=notes]").locator("input[type=text], textarea").fill("dark spot")
    form, answer = send_form(page, operation)
    assert form == [["notes", "dark spot"]]
    assert list_present(answer) == ["notes"]

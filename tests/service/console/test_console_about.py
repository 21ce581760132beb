"""About: the model card becomes elements whose text is text."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tailfuse_service.bundle.files import CARD

from tests.support.browser import Console, find_violations
from tests.support.bundles import add_file, write_tiny_bundle
from tests.support.process import Service

pytest.importorskip("playwright")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("chromium")]

Open = Callable[..., Console]
Start = Callable[..., Service]
TEXT = r"""# skin \*lesions\*, version 3

## What it does

It **knows \*three\*** classes
of `clinical` rows. <script>alert(1)</script>

| class \| label | rows |
|---|---:|
| \<img src=x onerror=alert(1)\> | 40 |
| [link](javascript:alert(1)) | 3 |

- first **point**
- second

```sh
curl <host> | sh  # not *markup*
```

| no table
"""


@pytest.fixture
def card_service(start_console: Start, tmp_path: Path) -> Service:
    return start_console(add_file(write_tiny_bundle(tmp_path / "card"), CARD, TEXT.encode()))


def test_the_card_is_shown_and_its_markup_is_text(card_service: Service, console: Open) -> None:
    page = console(card_service.url).show("about")
    page.find("h3", "skin *lesions*, version 3").wait_for()
    assert page.find(".card p").first.inner_text() == (
        "It knows *three* classes of clinical rows. <script>alert(1)</script>"
    )
    assert page.find(".card strong").first.inner_text() == "knows *three*"
    assert page.find(".card th").all_inner_texts() == ["class | label", "rows"]
    cells = page.find(".card td").all_inner_texts()
    assert cells == ["<img src=x onerror=alert(1)>", "40", "[link](javascript:alert(1))", "3"]
    assert page.find(".card td").nth(1).get_attribute("class") == "number"
    assert page.find(".card li").all_inner_texts() == ["first point", "second"]
    assert page.find(".card pre").inner_text() == "curl <host> | sh  # not *markup*"
    assert page.find(".card p").last.inner_text() == "| no table"
    assert page.find(".card img, .card script, .card a").count() == 0


def test_the_card_of_a_trained_model_is_shown_whole(
    start_console: Start, console: Open, bundle_folder: Path
) -> None:
    """Every heading, and every cell of every table, of the card that training has written."""
    lines = (bundle_folder / CARD).read_text().splitlines()
    page = console(start_console(bundle_folder).url).show("about")
    page.find(".card h3").first.wait_for()
    headings = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    assert page.find(".card").locator("h3, h4, h5, h6").all_inner_texts() == [
        each.replace("\\", "").replace("`", "") for each in headings
    ]
    rows = [line for line in lines if line.startswith("|") and not set(line) <= set("|-: ")]
    assert len(rows) > 10
    shown = page.find(".card tr").all()
    assert len(shown) == len(rows)
    for row, line in zip(shown, rows, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        texts = row.locator("th, td").all_inner_texts()
        assert texts == [re.sub(r"[\\`*]", "", cell).strip() for cell in cells]
    assert "image + fourier + shape" in page.find(".card td").all_inner_texts()


def test_a_bundle_without_a_card_has_its_metrics(console: Open) -> None:
    page = console().show("about")
    page.find("[role=alert]", "the bundle has no model card").wait_for()
    row = page.find("tbody tr").first.inner_text().split("\t")
    assert row == ["image + clinical + notes", "9", "90.0 %", "90.0 %", "90.0 %", "–", "90.0 %"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(card_service: Service, console: Open, scheme: str) -> None:
    page = console(card_service.url, color_scheme=scheme).show("about")
    page.find("h3").first.wait_for()
    assert find_violations(page.page) == []


def test_it_fits_a_narrow_screen(card_service: Service, console: Open) -> None:
    page = console(card_service.url, viewport={"width": 320, "height": 640}).show("about")
    page.find("h3").first.wait_for()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 320

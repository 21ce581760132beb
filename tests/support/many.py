"""The console's view Many in a test: files are chosen, rows are sent, and their answers read."""

import csv
import io
from pathlib import Path
from typing import Any

from tests.support.browser import Console


def choose(console: Console, *files: Path | dict[str, Any]) -> str:
    """Choose files in the view; return what it says about them."""
    chooser = console.page.get_by_label("Choose or drop a table")
    chooser.set_input_files(list(files))  # type: ignore[arg-type]
    console.page.locator(".plan button, .plan .problem").first.wait_for()
    return console.find(".plan").inner_text()


def classify(console: Console, *files: Path | dict[str, Any]) -> str:
    """Choose files and send their rows; return how it ended."""
    choose(console, *files)
    console.page.get_by_role("button", name="Classify").click()
    console.page.get_by_role("button", name="Download as CSV").wait_for()
    return console.find(".progress p").inner_text()


def read_table(console: Console) -> list[list[str]]:
    """Return the cells of the visible rows."""
    rows = console.find(".grid tbody tr:not(.spacer)").all()
    return [[cell.strip() for cell in row.locator("td").all_inner_texts()] for row in rows]


def download(console: Console) -> list[dict[str, str]]:
    with console.page.expect_download() as saved:
        console.page.get_by_role("button", name="Download as CSV").click()
    assert saved.value.suggested_filename == "skin-lesions-3-answers.csv"
    return list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))


def make_file(name: str, content: str | bytes) -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    return {"name": name, "mimeType": "", "buffer": data}

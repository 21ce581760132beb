"""Write docs/reference/: the pages that are made from the code."""

from collections.abc import Callable
from pathlib import Path

from docs.cli_page import make_cli_page
from docs.http_page import make_http_page
from docs.service_pages import make_errors_page, make_metrics_page, make_settings_page
from docs.spec_page import make_spec_page

FOLDER = Path(__file__).parent / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "spec-keys.md": make_spec_page,
    "command-line.md": make_cli_page,
    "http-api.md": make_http_page,
    "metrics.md": make_metrics_page,
    "settings.md": make_settings_page,
    "errors.md": make_errors_page,
}


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, make_page in PAGES.items():
        (FOLDER / name).write_text(make_page(), encoding="utf-8")


if __name__ == "__main__":
    main()

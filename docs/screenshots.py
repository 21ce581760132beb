"""Take the screenshots in docs/screenshots/: of the site, of the quick-start's report, and of a notebook.

`make screenshots` runs it, on the built site and the trained quick-start, with Chromium.
"""

import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "screenshots"
SITE, REPORT = "build/site", "quickstart/run/bundle/report.html"
COLOURS = 128  # of an image: a third of the bytes, and text stays sharp


class Shot(NamedTuple):
    """One screenshot: a page, the anchor that is at its top, and the window."""

    name: str
    page: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    anchor: str = ""


SHOTS = (
    Shot("site", f"{SITE}/index.html", 1280, 800),
    Shot("method", f"{SITE}/METHOD.html", 1280, 800, "dark", "3-the-calibration-set"),
    Shot("notebook", f"{SITE}/notebooks/quick-start.html", 1280, 900, "light", "evaluate"),
    Shot("report-light", REPORT, 1100, 900),
    Shot("report-dark", REPORT, 1100, 900, "dark"),
    Shot("report-phone", REPORT, 390, 844),
)


def take_shot(browser: "Browser", shot: Shot) -> bytes:
    """Return a screenshot as PNG."""
    page = browser.new_page(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.scheme,
        reduced_motion="reduce",
    )
    page.goto(f"{(ROOT / shot.page).as_uri()}#{shot.anchor}")
    page.wait_for_function("document.readyState === 'complete' && document.fonts.status === 'loaded'")
    image = page.screenshot()
    page.close()
    return image


def reduce_colours(image: bytes) -> bytes:
    """Return a PNG with a palette."""
    from PIL import Image

    target = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        target, "PNG", optimize=True
    )
    return target.getvalue()


def main() -> None:
    """Take all screenshots."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    if missing := {shot.page for shot in SHOTS if not (ROOT / shot.page).exists()}:
        sys.exit(f"there is no {', '.join(sorted(missing))}: run make screenshots")
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for shot in SHOTS:
            (FOLDER / f"{shot.name}.png").write_bytes(reduce_colours(take_shot(browser, shot)))
        browser.close()


if __name__ == "__main__":
    main()

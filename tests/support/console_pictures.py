"""Take the images of docs/CONSOLE.md: `make console-pictures`, or a RUN of another model as the argument.

Without an argument it trains the quick-start, for as many epochs as its spec says.
"""

import csv
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.support.browser import Console, launch
from tests.support.process import environment, ran, start_service

TARGET = Path(__file__).parents[2] / "docs" / "console"
WIDTH, PHONE_WIDTH = 1100, 390
MAX_HEIGHT, PHONE_HEIGHT = 1500, 1700  # of an image: longer pages are cut
STRENGTH = 80  # percent of the damage: the weight of the quick-start's image has fallen, and the answer holds
VIEWS = ("Try", "Switch", "Damage", "Many", "Watch", "About")


def main() -> None:
    """Serve the model with rows of its test split, and take an image of each view."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else train(folder)
        bundle = export(run, folder / "bundle")
        service = start_service(bundle, "--share-report", log=folder / "service.log")
        try:
            take_all(service.url)
        finally:
            service.stop()


def train(folder: Path) -> Path:
    """Train the quick-start; return its run."""
    call("demo", "--no-serve", cwd=folder)
    return folder / "quickstart" / "run"


def export(run: Path, bundle: Path) -> Path:
    """Export a run with rows of its test split."""
    call("export", str(run), "--examples", "10", "--out", str(bundle))
    return bundle


def call(*arguments: str, cwd: Path | None = None) -> None:
    """Call the command line of tailfuse. Raises AssertionError if it fails."""
    done = ran(sys.executable, "-m", "tailfuse", *arguments, cwd=cwd, timeout=1800, env=environment())
    assert done.returncode == 0, done.stderr


def take_all(url: str) -> None:
    """Take every view in light, in dark, and on a phone."""
    TARGET.mkdir(exist_ok=True)
    for browser in launch():
        for kind, width in (("light", WIDTH), ("dark", WIDTH), ("phone", PHONE_WIDTH)):
            context = browser.new_context(
                color_scheme="dark" if kind == "dark" else "light",
                reduced_motion="reduce",
                viewport={"width": width, "height": 900},
            )
            console = Console(context, url).show()
            console.page.get_by_role("button", name="Row 1:").click()
            console.page.get_by_text("What each modality adds").wait_for()
            for view in VIEWS:
                console.follow(view)
                prepare(console, view)
                take(console, TARGET / f"{view.lower()}-{kind}.png", phone=kind == "phone")
            console.close()


def prepare(console: Console, view: str) -> None:
    """Wait for the answers of a view; damage the first modality so that its weight falls."""
    if view == "Many":
        classify_examples(console)
    if view == "Watch":
        send_traffic(console)
    if view == "About":
        console.show_report()
    console.find("main table").first.wait_for()
    if view == "Try":
        console.page.get_by_text("What each modality adds").wait_for()
    if view == "Damage":
        console.damage(STRENGTH)
    console.page.wait_for_timeout(1500)


def classify_examples(console: Console) -> None:
    """Choose a table of the example rows, with the columns of their tabular modalities, and classify it."""
    examples = console.page.request.get(f"{console.url}/console/model.json").json()["examples"]
    rows = [
        {column: cell for value in row.values() if isinstance(value, dict) for column, cell in value.items()}
        for row in examples
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(dict.fromkeys(column for row in rows for column in row)))
    writer.writeheader()
    writer.writerows(rows)
    file = {"name": "rows.csv", "mimeType": "text/csv", "buffer": table.getvalue().encode()}
    console.page.get_by_label("Choose or drop a table").set_input_files(file)  # type: ignore[arg-type]
    console.page.get_by_role("button", name="Classify").click()
    console.page.get_by_role("button", name="Download as CSV").wait_for()


def send_traffic(console: Console) -> None:
    """Send the batch of the view Many again, more often each time, so that Watch has lines to draw."""
    body = console.bodies("/predict/batch")[-1]
    for step in range(5):
        for _ in range(1 + 2 * step % 5):
            console.page.request.post(f"{console.url}/predict/batch", data=body)
        console.page.wait_for_timeout(2000)


def take(console: Console, path: Path, *, phone: bool) -> None:
    """Write an image of the page, cut below, in 64 colours: a fifth of the bytes."""
    console.page.mouse.move(0, 0)
    console.page.evaluate("() => document.activeElement.blur()")
    console.page.screenshot(path=path, full_page=True)
    with Image.open(path) as image:
        height = min(image.height, PHONE_HEIGHT if phone else MAX_HEIGHT)
        image.convert("RGB").crop((0, 0, image.width, height)).quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    main()

"""Record docs/console/console.webp, half a minute of the console: `make console-recording`.

The argument is the folder that `tailfuse demo --no-serve` makes: its model, its table and its images.
Screenshots are joined with Pillow, so that it takes no other program and shows no second of waiting.
"""

import csv
import io
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.support.browser import Console, launch
from tests.support.process import environment, ran, start_service

TARGET = Path(__file__).parents[2] / "docs" / "console" / "console.webp"
WIDTH, HEIGHT = 960, 640
SHOWN = 800, 533  # pixels of the recording
FRAME_MS, STILL_MS = 500, 1500
QUALITY = 60  # keeps the text readable, and half a minute below 2 MB
MAX_ROWS = 400  # that Many is shown with

Frame = tuple[bytes, int]  # a PNG, and how long it is shown


def main(quickstart: Path) -> None:
    """Serve the quick-start with example rows, go through the views, and write the recording."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / "bundle"
        command = ("export", str(quickstart / "run"), "--examples", "10", "--out", str(bundle))
        done = ran(sys.executable, "-m", "tailfuse", *command, timeout=600, env=environment())
        assert done.returncode == 0, done.stderr
        archive = pack_rows(quickstart, folder / "digits.zip")
        service = start_service(bundle, "--share-report", log=folder / "service.log")
        try:
            for browser in launch():
                context = browser.new_context(
                    viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce"
                )
                console = Console(context, service.url).show()
                write(list(record(console, archive)))
                console.close()
        finally:
            service.stop()


def pack_rows(quickstart: Path, archive: Path) -> Path:
    """Pack every fifth row of the table and its image: rows of all classes."""
    with (quickstart / "table.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    chosen = rows[::5][:MAX_ROWS]
    table = io.StringIO()
    csv.writer(table).writerows([header, *chosen])
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("table.csv", table.getvalue())
        for row in chosen:
            image = row[header.index("image")]
            packed.write(quickstart / image, image)
    return archive


def record(console: Console, archive: Path) -> Iterator[Frame]:
    """Yield the frames: one row in three views, many rows, the metrics, the report and the model card."""
    page = console.page
    yield take(console, STILL_MS)
    page.get_by_role("button", name="Row 1:").click()
    page.get_by_text("What each modality adds").wait_for()
    yield take(console, 2 * STILL_MS)
    console.follow("Switch")
    console.find("main table").first.wait_for()
    page.wait_for_load_state("networkidle")
    yield take(console, 2 * STILL_MS)
    console.follow("Damage")
    console.damage(0)
    yield take(console, STILL_MS)
    console.find("main h3", "Over the strength").scroll_into_view_if_needed()
    console.page.mouse.wheel(0, HEIGHT)  # the curve is the last of the page, and the sliders stay beside it
    for strength in range(0, 101, 10):
        console.damage(strength)
        yield take(console, FRAME_MS if strength < 100 else STILL_MS)
    console.follow("Many")
    yield take(console, FRAME_MS)
    page.get_by_label("Choose or drop a table").set_input_files(archive)
    page.get_by_role("button", name="Classify").wait_for()
    yield take(console, STILL_MS)
    page.get_by_role("button", name="Classify").click()
    for _ in range(4):
        page.wait_for_timeout(FRAME_MS)
        yield take(console, FRAME_MS)
    page.get_by_role("button", name="Download as CSV").wait_for()
    for header in ("Conflict", "Probability"):
        page.get_by_role("columnheader", name=header).get_by_role("button").click()
        page.wait_for_timeout(FRAME_MS)  # thumbnails are drawn
        yield take(console, STILL_MS)
    yield from watch(console)
    console.follow("About")
    console.show_report()
    console.find("main h3").first.wait_for()
    for _ in range(3):
        yield take(console, STILL_MS)
        page.mouse.wheel(0, 400)


def watch(console: Console) -> Iterator[Frame]:
    """Yield frames of Watch while it is asked."""
    console.follow("Watch")
    console.find(".row .hint", "As of").wait_for()
    body = console.bodies("/predict/batch")[-1]
    for step in range(8):
        for _ in range(1 + step % 4):
            console.page.request.post(f"{console.url}/predict/batch", data=body)
        console.page.wait_for_timeout(2 * FRAME_MS)
        if step % 2:
            yield take(console, 2 * FRAME_MS)
    console.page.mouse.wheel(0, 450)
    console.page.wait_for_timeout(FRAME_MS)
    yield take(console, STILL_MS)


def take(console: Console, duration_ms: int) -> Frame:
    return console.page.screenshot(), duration_ms


def write(frames: list[Frame]) -> None:
    """Write the frames as one animated image that repeats."""
    TARGET.parent.mkdir(exist_ok=True)
    images = [
        Image.open(io.BytesIO(png)).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)
        for png, _ in frames
    ]
    durations = [duration_ms for _, duration_ms in frames]
    images[0].save(
        TARGET, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=QUALITY, method=6
    )
    print(
        f"{TARGET}: {sum(durations) / 1000:.0f} s, {len(frames)} frames, {TARGET.stat().st_size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

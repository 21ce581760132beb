"""Take images of the console on other models than the quick-start: `make console-models RUNS="NAME=RUN …"`.

Of each run the views Try and Damage: a row of the test split, and its modality with the most weight damaged.
"""

import sys
import tempfile
from pathlib import Path

from tests.support.browser import Console, launch
from tests.support.console_pictures import STRENGTH, TARGET, WIDTH, export, take
from tests.support.process import start_service


def main() -> None:
    """Take the images of each run, which the arguments name as NAME=RUN."""
    for argument in sys.argv[1:]:
        name, _, run = argument.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            service = start_service(export(Path(run), Path(folder) / "bundle"), log=Path(folder) / "log")
            try:
                take_views(service.url, name)
            finally:
                service.stop()


def take_views(url: str, name: str) -> None:
    """Take Try and Damage of a service, as NAME-try.png and NAME-damage.png."""
    for browser in launch():
        context = browser.new_context(reduced_motion="reduce", viewport={"width": WIDTH, "height": 900})
        console = Console(context, url).show()
        console.page.get_by_role("button", name="Row 1:").click()
        console.page.get_by_text("What each modality adds").wait_for()
        take(console, TARGET / f"{name}-try.png", phone=False)
        console.follow("Damage")
        console.damage(STRENGTH, find_heaviest(console))
        take(console, TARGET / f"{name}-damage.png", phone=False)
        console.close()


def find_heaviest(console: Console) -> int:
    """Return the place of the modality with the most weight in the answer to the row."""
    weights = [each["weight"] for each in console.answers()[-1]["modalities"].values()]
    return weights.index(max(weights))


if __name__ == "__main__":
    main()

"""Take images of the console on other models than the quick-start: `make console-models RUNS="NAME=RUN …"`.

Of each run the views Try and Damage: a row of the test split, and its first modality damaged.
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
        console.damage(STRENGTH)
        take(console, TARGET / f"{name}-damage.png", phone=False)
        console.close()


if __name__ == "__main__":
    main()

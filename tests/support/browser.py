"""The console in a real browser, as a user meets it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.keys import KEY
from tests.support.programs import locate

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        FrameLocator,
        Locator,
        Page,
        Request,
        Route,
    )

FLAGS = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--no-first-run", "--disable-gpu",
)  # fmt: skip
TIMEOUT_MS = 60_000  # nothing takes that long: a test that waits for it fails


def launch() -> "Iterator[Browser]":
    """Yield Chromium, which is the system's: Playwright's own would have to be downloaded."""
    from playwright.sync_api import sync_playwright  # not on the base install

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=locate("chromium"), args=FLAGS)
        yield browser
        browser.close()


class Console:
    """A page of the console. `errors` are what the browser has reported, also violations of the policy."""

    def __init__(self, context: "BrowserContext", url: str) -> None:
        self.context, self.url = context, url
        context.set_default_timeout(TIMEOUT_MS)
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.requests: list[Request] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", lambda request: self.requests.append(request))

    def _note(self, said: "ConsoleMessage") -> None:
        """Keep an error; problems that the service answers are none of the page."""
        if said.type == "error" and not said.text.startswith("Failed to load resource: the server responded"):
            self.errors.append(said.text)

    def show(self, view: str = "try") -> "Console":
        """Go to a view, and wait until it is there."""
        self.page.goto(f"{self.url}/#{view}")
        self.page.wait_for_selector("main h2")
        return self

    def follow(self, title: str) -> None:
        """Go to another view by its tab; the sample stays."""
        self.page.get_by_role("link", name=title, exact=True).click()
        self.page.wait_for_selector(f'main section[aria-label="{title}"] h2')

    def fill_in(self) -> None:
        """Take the plausible values, and wait for the explained answer."""
        self.page.get_by_role("button", name="Plausible values").click()
        self.page.get_by_text("What each modality adds").wait_for()

    def damage(self, strength: int, modality: int = 0) -> None:
        """Move a slider of Damage to a strength in percent; wait for the answer and the curve for it."""
        self.page.get_by_role("slider").nth(modality).fill(str(strength))
        self.wait_for_damage()

    def wait_for_damage(self) -> None:
        """Wait until Damage shows the answers to what its sliders say."""
        self.find("main svg.lines[aria-label*='over the strength']").wait_for()
        self.page.wait_for_function("() => !document.querySelector('main [aria-busy]')")

    def use_admin_key(self) -> None:
        """Ask for the admin calls of Watch, and give the key of the tests."""
        self.page.get_by_role("button", name="Promote, load, unload").click()
        self.page.get_by_label("Key of this service").fill(KEY)
        self.page.get_by_role("button", name="Use this key").click()

    def show_report(self) -> "FrameLocator":
        """Open the report of the view About, and wait for it; return its frame."""
        self.page.locator("summary", has_text="The full report").press("Enter")
        frame = self.page.frame_locator("iframe.report")
        frame.locator("body > *").first.wait_for()
        return frame

    def find(self, selector: str, text: str | None = None) -> "Locator":
        return self.page.locator(selector, has_text=text)

    def evaluate(self, module: str, code: str, argument: Any = None) -> Any:
        """Run code in the page, in which `m` is one of the console's modules and `a` the argument."""
        folder = self.page.locator("script[type=module]").get_attribute("src") or ""
        address = json.dumps(folder.rpartition("/")[0] + f"/{module}")
        return self.page.evaluate(f"async (a) => {{ const m = await import({address}); {code} }}", argument)

    def answer(self, route: str, make: Callable[[Any], Any]) -> None:
        """Answer a route in the service's place: `make` returns the answer to a body."""

        def fulfil(asked: "Route") -> None:
            body = asked.request.post_data
            asked.fulfill(json=make(json.loads(body) if body else None))

        self.page.route(lambda url: urlsplit(url).path == route, fulfil)

    def bodies(self, route: str = "/predict") -> list[dict[str, Any]]:
        """Return the bodies that were sent to a route."""
        sent = [each for each in self.requests if urlsplit(each.url).path == route]
        return [json.loads(each.post_data or "null") for each in sent]

    def answers(self, route: str = "/predict") -> list[Any]:
        """Return what a route has answered."""
        sent = [each for each in self.requests if urlsplit(each.url).path == route]
        responses = [each.response() for each in sent if each.failure is None]  # a cancelled one has none
        return [each.json() for each in responses if each is not None]

    def close(self) -> None:
        """Close the page. It must have reported no error, and asked its own service alone."""
        self.context.close()
        assert not self.errors, self.errors
        asked = [urlsplit(each.url) for each in self.requests]
        hosts = {url.netloc for url in asked if url.scheme not in ("blob", "data")}
        assert hosts <= {urlsplit(self.url).netloc}, hosts


@dataclass(frozen=True, slots=True)
class AxeResult:
    """What axe found at a page: rules by their ids, and of a violation the element too."""

    passed: list[str]
    undecided: list[str]  # axe cannot tell, for example the contrast of what lies over an image
    violations: list[str]


def run_axe(page: "Page") -> AxeResult:
    """Run axe with all its rules of WCAG 2.0 to 2.2, levels A and AA, and its best practices.

    `target-size`, the rule for 2.5.8 of WCAG 2.2, is off by default in axe. Criteria that no rule can check
    stay unchecked.
    """
    import axe_playwright_python

    script = Path(axe_playwright_python.__file__).parent / "axe.min.js"
    page.evaluate(script.read_text())  # `add_script_tag` would need a policy that allows it
    options = {"rules": {"target-size": {"enabled": True}}}
    found = page.evaluate("async (options) => await axe.run(document, options)", options)
    return AxeResult(
        sorted(each["id"] for each in found["passes"]),
        sorted(each["id"] for each in found["incomplete"]),
        [f"{each['id']}: {node['html'][:160]}" for each in found["violations"] for node in each["nodes"]],
    )


def find_violations(page: "Page") -> list[str]:
    """Return the violations that `run_axe` finds at a page."""
    return run_axe(page).violations

"""Time to the console's first paint and first view: python benchmarks/console_paint.py URL [LOADS]

Opens the page of a running service in Chromium, in turns with an empty cache and with a filled one. The first
contentful paint is the browser's own figure, from PerformanceObserver. The view is there when it has its
heading, for which the page asks for the model. Times are since the start of the navigation. Prints JSON.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
VIEW = "main h2"
# Notes when the view has its heading, before any script of the page runs.
NOTE_VIEW = f"""
const watch = new MutationObserver(() => {{
  if (!document.querySelector("{VIEW}")) return;
  window.viewAt = performance.now();
  watch.disconnect();
}});
watch.observe(document, {{ childList: true, subtree: true }});
"""
READ_PAINT = """() => new Promise((resolve) => {
  const take = (entries) => entries.filter(({ name }) => name === "first-contentful-paint")
    .forEach(({ startTime }) => resolve(startTime));
  new PerformanceObserver((list) => take(list.getEntries())).observe({ type: "paint", buffered: true });
})"""


def load(context: BrowserContext, url: str) -> dict[str, float]:
    """Open the page once; return its times in milliseconds."""
    page = context.new_page()
    page.add_init_script(NOTE_VIEW)
    page.goto(url)
    page.wait_for_selector(VIEW)
    times = {
        "first_contentful_paint": page.evaluate(READ_PAINT),
        "view": page.evaluate("() => window.viewAt"),
    }
    page.close()
    return times


def load_in_turns(browser: Browser, url: str, loads: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the times of loads with an empty cache and, next, with the cache that this load has filled."""
    for _ in range(loads):
        context = browser.new_context()
        yield "empty", load(context, url)
        yield "filled", load(context, url)
        context.close()


def summarise(values: list[float]) -> dict[str, float]:
    """Return the median of the times and their spread."""
    return {
        "median_ms": round(statistics.median(values)),
        "min_ms": round(min(values)),
        "max_ms": round(max(values)),
    }


def main() -> None:
    """Measure, and print the figures."""
    url, loads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    found: dict[str, dict[str, list[float]]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        version = browser.version
        load(browser.new_context(), url)  # the browser's own start is none of the page
        for cache, times in load_in_turns(browser, url, loads):
            for name, value in times.items():
                found.setdefault(cache, {}).setdefault(name, []).append(value)
        browser.close()
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    told: dict[str, Any] = {
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "chromium": version, "loads": loads, "load": round(os.getloadavg()[0], 1),
        "caches": {
            cache: {name: summarise(values) for name, values in times.items()}
            for cache, times in found.items()
        },
    }  # fmt: skip
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

"""`python -m tests.support.monitoring.charts`: draw docs/monitoring/*.png from a live run.

A scripted run of nine minutes sends traffic to a service; Prometheus scrapes it, and every panel is drawn
from the answers to its queries. The quick-start is trained twice before.
"""

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from tailfuse.quickstart.quickstart import write_quickstart

from monitoring.charts.draw import Answer, Phase, draw_dashboard
from monitoring.charts.panels import Panel, Values, expand_panels
from monitoring.dashboards.__main__ import FOLDER
from tests.support.monitoring.prometheus import Prometheus, start_prometheus
from tests.support.monitoring.rows import load_rows
from tests.support.monitoring.traffic import (
    Mood,
    Traffic,
    add_noise,
    cover_lens,
    draw_subset,
    drop_images,
    truncate_images,
)
from tests.support.monitoring.versions import Versions
from tests.support.process import environment, start_service

DOCS = Path(__file__).parents[3] / "docs" / "monitoring"
STEP_S = 2
Roles = dict[str, Any]
ROWS = {
    "service": ("At a glance", "Requests", "Time by stage", "Batching and refusals", "Processes"),
    "fusion": (
        "Is a modality corrupted?",
        "All modalities",
        "Inputs",
        "Predictions",
        "Modality: image",
    ),
    "classes": ("At a glance", "Many, medium and few", "Each class"),
    "model": ("Versions", "Traffic and time", "Predictions by version: canary against stable", "Shadow"),
}
"""The rows to draw of each dashboard."""
GOOD, BAD, NEW = "tab:green", "tab:red", "tab:purple"
STORY: tuple[tuple[str, str, float, Mood, Roles], ...] = (
    ("normal operation", GOOD, 75, draw_subset, {"stable": "1"}),
    ("lens covered", BAD, 60, cover_lens, {"stable": "1"}),
    ("image noise", BAD, 60, add_noise, {"stable": "1"}),
    ("truncated images", BAD, 60, truncate_images, {"stable": "1"}),
    ("no images", BAD, 45, drop_images, {"stable": "1"}),
    ("normal operation", GOOD, 60, draw_subset, {"stable": "1"}),
    ("version 2 is shadow", NEW, 60, draw_subset, {"stable": "1", "shadow": {"version": "2", "share": 1.0}}),
    ("version 2 is canary", NEW, 60, draw_subset, {"stable": "1", "canary": {"version": "2", "share": 0.4}}),
    ("version 2 is stable", GOOD, 45, draw_subset, {"stable": "2"}),
)
"""Phases of the run: description, colour, length (s), traffic, roles of the versions."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = train_version(folder / "quickstart", "1"), train_version(folder / "quickstart", "2")
        run_story(folder, first, second)


def train_version(folder: Path, version: str) -> Path:
    """Train the quick-start with the version as its seed. Return the bundle."""
    if not folder.exists():
        write_quickstart(folder)
    subprocess.run(
        [
            sys.executable, "-m", "tailfuse", "train", str(folder / "spec.yaml"),
            "--out", str(folder / version),
            "--set", f"version={version}", "--set", f"seed={version}",
        ],
        check=True, env=environment(OMP_NUM_THREADS="1"),
    )  # fmt: skip
    return folder / version / "bundle"


def run_story(folder: Path, first: Path, second: Path) -> None:
    versions = Versions(folder)
    versions.put(first, "first")
    versions.give("digits", stable="1")
    rows, _ = load_rows(first.parents[1], first)
    flags = ("--roles", str(versions.roles_file), "--drift-window-s", "60")
    with ExitStack() as running:
        service = start_service(versions.folder, *flags, log=folder / "service.log")
        running.callback(service.stop)
        prometheus = start_prometheus(folder / "prometheus", [service.url.removeprefix("http://")])
        running.callback(prometheus.stop)
        callers = running.enter_context(Traffic(service.url, rows, per_second=40))
        story: list[Phase] = []
        for description, colour, seconds, mood, roles in STORY:
            callers.mood = mood
            story.append((time.time(), description, colour))
            versions.give("digits", **roles)
            if "shadow" in roles:
                versions.put(second, "second")
            time.sleep(seconds)
        draw_all(prometheus, service.url, story)


def draw_all(prometheus: Prometheus, url: str, story: Sequence[Phase]) -> None:
    begun = story[0][0] + 12  # rates need several scrapes
    times = np.arange(np.ceil(begun / STEP_S) * STEP_S, time.time() - STEP_S, STEP_S)
    values: Values = {
        "model": ["digits"], "version": ["1", "2"], "instance": [url.removeprefix("http://")],
        "modality": ["image", "fourier", "shape"], "window": "45s", "__rate_interval": "10s",
        "__range": f"{times[-1] - times[0]:.0f}s",
    }  # fmt: skip

    def ask(target: Panel) -> Answer:
        if target.get("instant"):
            return prometheus.query(target["expr"], times[-1])
        return prometheus.query_range(target["expr"], times[0], times[-1], STEP_S)

    for dashboard, rows in ROWS.items():
        document = json.loads((FOLDER / f"{dashboard}.json").read_text())
        panels = expand_panels(document, values, rows)
        save(draw_dashboard(document["title"], panels, times, ask, story), DOCS / f"{dashboard}.png")


def save(figure: Figure, file: Path) -> None:
    """Write a PNG with a palette of 256 colours, which is a third of the size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    colours = (
        Image.open(buffer).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    colours.save(file, "PNG", optimize=True)


if __name__ == "__main__":
    main()

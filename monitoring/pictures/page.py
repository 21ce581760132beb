"""The page that panels are drawn on: places in pixels, a head with the run's story, the file."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from monitoring.pictures.answers import Answer
from monitoring.pictures.look import FAINT, PAGE, TEXT, Palette
from monitoring.pictures.panels import Query

WIDTH, HEAD, GAP, DPI = 1500, 96, 8, 100  # pixels
Phase = tuple[float, str, str]  # when it began (Unix seconds), what it was, its colour


@dataclass(slots=True)
class Page:
    """What all panels of a picture share; `marks` are the times of new versions."""

    figure: Figure
    height: int
    times: NDArray[np.float64]
    ask: Callable[[Query], Answer]
    palette: Palette
    marks: Sequence[float] = ()

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at pixels from the top left corner."""
        place = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set_facecolor("none")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, labelsize=7.5, labelcolor=FAINT)
        return axes

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        self.figure.text(left / WIDTH, 1 - top / self.height, text, va="center", **style)

    def box(self, left: float, top: float, width: float, height: float, ink: str, edge: str = "none") -> None:
        place = (left / WIDTH, 1 - (top + height) / self.height)
        shape = Rectangle(
            place, width / WIDTH, height / self.height, facecolor=ink, edgecolor=edge, linewidth=0.8,
            transform=self.figure.transFigure, zorder=-1,
        )  # fmt: skip
        self.figure.add_artist(shape)


def draw_head(page: Page, title: str, story: Sequence[Phase]) -> None:
    """The title, and what happened when, as a band from the first time to the last."""
    page.text(18, 26, title, color=TEXT, fontsize=15, fontweight="bold")
    start, end = page.times[0], page.times[-1]
    scale = (WIDTH - 2 * GAP) / (end - start)
    ends = [*(began for began, _, _ in story[1:]), end]
    for (began, what, ink), ended in zip(story, ends, strict=True):
        left, width = GAP + scale * (max(began, start) - start), scale * (ended - max(began, start))
        page.box(left, 54, width - 3, 4, ink)
        page.text(left, 74, what, color=FAINT, fontsize=8.5)


def save(figure: Figure, file: Path) -> None:
    """As PNG with a palette of 256 colours: a third of the size."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", facecolor=PAGE)
    file.parent.mkdir(parents=True, exist_ok=True)
    small = (
        Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    small.save(file, "PNG", optimize=True)

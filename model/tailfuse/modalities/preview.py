"""What a report shows of one value: some text, a small image, or curves. All of it is data, never markup."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_COLUMNS, MAX_CELL_CHARS, MAX_TEXT_CHARS = 6, 60, 400
MAX_SIDE = 96  # pixels of an image
MAX_CURVES, MAX_POINTS = 3, 100  # of a time series
CURVE_WIDTH, CURVE_HEIGHT = 120, 40


class Preview(NamedTuple):
    """A value of one modality."""

    text: str = ""
    png: bytes = b""
    curves: tuple[str, ...] = ()  # `x,y x,y …` within CURVE_WIDTH x CURVE_HEIGHT


def preview_cells(cells: Mapping[str, Any]) -> Preview:
    """Show the first cells of a row that have a value.

    >>> preview_cells({"age": 61, "sex": None, "site": "back"}).text
    'age: 61 · site: back'
    """
    known = {name: value for name, value in cells.items() if value is not None}
    shown = [f"{name}: {shorten_cell(value)}" for name, value in list(known.items())[:MAX_COLUMNS]]
    if len(known) > MAX_COLUMNS:
        shown.append(f"{len(known) - MAX_COLUMNS:,} more")
    return Preview(" · ".join(shown))


def shorten_cell(value: Any) -> str:
    """Return a cell as a short text; bytes by their number only."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return shorten(f"{value:.6g}" if isinstance(value, float) else str(value), MAX_CELL_CHARS)


def shorten(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """Cut a text that is longer than the limit."""
    return text if len(text) <= limit else f"{text[:limit]} …"


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode an image (channels, height, width) as PNG, at most MAX_SIDE pixels a side."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def draw_curves(steps: NDArray[Any]) -> tuple[str, ...]:
    """Draw the first channels of a time series (time, channels), each over its own range."""
    every = steps[:: -(-len(steps) // MAX_POINTS)].astype(np.float64)
    return tuple(draw_curve(channel.tolist()) for channel in every.T[:MAX_CURVES])


def draw_curve(values: Sequence[float]) -> str:
    """Draw one curve of finite values."""
    low, high = min(values), max(values)
    across, up = CURVE_WIDTH / max(1, len(values) - 1), (CURVE_HEIGHT - 4) / ((high - low) or 1.0)
    return " ".join(
        f"{at * across:.1f},{CURVE_HEIGHT - 2 - (value - low) * up:.1f}" for at, value in enumerate(values)
    )

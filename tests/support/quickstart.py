"""The quick-start: trained once, read by many tests."""

from pathlib import Path
from typing import Any


def raw_values(row: dict[str, str], folder: Path) -> dict[str, Any]:
    numbers = {name: float(value) for name, value in row.items() if name[:4] in ("fou_", "zer_", "mor_")}
    return {
        "image": (folder / row["image"]).read_bytes(),
        "fourier": {name: value for name, value in numbers.items() if name.startswith("fou_")},
        "shape": {name: value for name, value in numbers.items() if not name.startswith("fou_")},
    }

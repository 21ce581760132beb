"""The parts of the check, in their order: what matters most comes first.

`python -m gpu_check.parts NAME DEVICE WORK [IMAGES]` runs one and prints a line of JSON for each figure.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """The folder and device of a part."""

    device: str  # cuda, cuda:1, …
    work: Path  # bundles that parts share
    images: Path | None  # folder with images.npz

    @property
    def bundle(self) -> Path:
        """The bundle of an image and columns that the other parts use; it is trained if it is not there."""
        import serving_bench.bundle

        return serving_bench.bundle.prepare_bundle(self.work / "bench")


@dataclass(frozen=True, slots=True)
class Part:
    """One part. Its function yields figures; it is named, because the check itself starts without torch."""

    name: str
    limit_s: float
    module: str
    function: str

    def measure(self, setting: Setting) -> Iterator[Record]:
        """Yield the figures of this part."""
        module = importlib.import_module(f"gpu_check.{self.module}")
        figures: Iterator[Record] = getattr(module, self.function)(setting)
        return figures


PARTS = (
    Part("card", 40, "card", "measure_card"),
    Part("bundle", 90, "training", "prepare_bundle"),
    Part("digits", 100, "training", "measure_digits"),
    Part("parity", 60, "graph", "measure_parity"),
    Part("graph", 60, "graph", "measure_graph"),
    Part("serving", 120, "serving", "measure_serving"),
    Part("memory", 60, "memory", "measure_memory"),
    Part("onnx", 40, "graph", "measure_onnx"),
    Part("images", 150, "training", "measure_images"),
)


def main(name: str, device: str, work: str, images: str | None = None) -> None:
    """Run the part of that name, and print its figures."""
    part = next(part for part in PARTS if part.name == name)
    for record in part.measure(Setting(device, Path(work), Path(images) if images else None)):
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

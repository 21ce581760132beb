"""The parts of the check, in their order: what matters most comes first.

`python -m gpu_check.parts NAME DEVICE WORK [IMAGES]` runs one and prints a line of JSON for each figure.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a part runs, and on what."""

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
    """One part: its function yields figures."""

    name: str
    limit_s: float
    measure: Callable[[Setting], Iterator[Record]]


def prepare_bundle(setting: Setting) -> Iterator[Record]:
    yield {"bundle": str(setting.bundle)}


def describe_card(setting: Setting) -> Iterator[Record]:
    from gpu_check.card import measure_card

    return measure_card(setting)


def check_parity(setting: Setting) -> Iterator[Record]:
    from gpu_check.graph import measure_parity

    return measure_parity(setting)


def run_graph(setting: Setting) -> Iterator[Record]:
    from gpu_check.graph import measure_graph

    return measure_graph(setting)


def run_onnx(setting: Setting) -> Iterator[Record]:
    from gpu_check.graph import measure_onnx

    return measure_onnx(setting)


def serve(setting: Setting) -> Iterator[Record]:
    from gpu_check.serving import measure_serving

    return measure_serving(setting)


def check_memory(setting: Setting) -> Iterator[Record]:
    from gpu_check.memory import measure_memory

    return measure_memory(setting)


def train_digits(setting: Setting) -> Iterator[Record]:
    from gpu_check.training import measure_digits

    return measure_digits(setting)


def train_images(setting: Setting) -> Iterator[Record]:
    from gpu_check.training import measure_images

    return measure_images(setting)


# The functions import what they measure when they run: the check itself starts without it.
PARTS = (
    Part("card", 40, describe_card),
    Part("bundle", 90, prepare_bundle),
    Part("digits", 100, train_digits),
    Part("parity", 60, check_parity),
    Part("graph", 60, run_graph),
    Part("serving", 120, serve),
    Part("memory", 60, check_memory),
    Part("onnx", 40, run_onnx),
    Part("images", 150, train_images),
)


def main(name: str, device: str, work: str, images: str | None = None) -> None:
    part = next(part for part in PARTS if part.name == name)
    for record in part.measure(Setting(device, Path(work), Path(images) if images else None)):
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Training on the device beside the processor: the quick-start, and images with all layers trained."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tailfuse.quickstart.quickstart import write_quickstart

from gpu_check.parts import Record, Setting

N_IMAGES, SIDE, N_CLASSES = 1200, 64, 4  # of images made here, if none are given
EPOCHS = 2
IMAGES_SPEC = """\
name: images
table: table.csv
label: label
split: {{val: 0.15, test: 0.15}}
modalities:
  image: {{kind: image, column: image, size: [{side}, {side}], encoder: efficientnet_lite0, trained: all}}
training: {{epochs: {epochs}, folds: 0}}
"""


def prepare_bundle(setting: Setting) -> Iterator[Record]:
    """Train the bundle that other parts use, if it is not there, and yield where it is."""
    yield {"bundle": str(setting.bundle)}


def measure_digits(setting: Setting) -> Iterator[Record]:
    """Yield seconds and balanced accuracy of the quick-start."""
    folder = setting.work / "digits"
    spec = folder / "spec.yaml"
    if not spec.exists():
        write_quickstart(folder)
    for accelerator, precision in list_runs(setting):
        yield {"training": "digits", **train(spec, accelerator, precision)}


def measure_images(setting: Setting) -> Iterator[Record]:
    """Yield images per second of training, and balanced accuracy, with all layers trained."""
    folder = setting.work / "images"
    spec = folder / "spec.yaml"
    n_images = write_images(folder, setting.images) if not spec.exists() else count_rows(folder)
    for accelerator, precision in list_runs(setting):
        figures = train(spec, accelerator, precision)
        yield {"training": "images", "images": n_images, "epochs": EPOCHS, **figures}


def list_runs(setting: Setting) -> list[tuple[str, str]]:
    """The device first: if time runs out, the processor's figure is the one to miss."""
    on_device = [("cuda", "bf16-mixed"), ("cuda", "32-true")] if setting.device != "cpu" else []
    return [*on_device, ("cpu", "32-true")]


def train(spec: Path, accelerator: str, precision: str) -> Record:
    """Train in a process of its own, as a user does. Raises SystemExit with what it printed."""
    run = spec.parent / f"{accelerator}-{precision}"
    command = [
        sys.executable, "-m", "tailfuse", "train", str(spec), "--out", str(run),
        "--accelerator", accelerator, "--precision", precision, "--overwrite", "--json",
    ]  # fmt: skip
    start = time.perf_counter()
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)}: {found.stderr.strip()[-800:]}")
    seconds = time.perf_counter() - start
    manifest = json.loads(
        (spec.parent / f"{accelerator}-{precision}" / "bundle" / "manifest.json").read_text()
    )
    return {
        "accelerator": accelerator, "precision": precision, "seconds": round(seconds, 1),
        "metrics": manifest["metrics"],
    }  # fmt: skip


def write_images(folder: Path, given: Path | None) -> int:
    """Write a table of images: those of images.npz (pixels (n, h, w, 3) uint8, labels (n,)), or made ones."""
    (folder / "images").mkdir(parents=True)
    if given is None:
        random = np.random.default_rng(0)
        labels = random.integers(N_CLASSES, size=N_IMAGES)
        pixels = random.integers(0, 256, (N_IMAGES, SIDE, SIDE, 3), np.uint8)
        pixels[..., 0] //= (1 + labels).astype(np.uint8)[:, None, None]
    else:
        with np.load(given / "images.npz", allow_pickle=False) as arrays:
            pixels, labels = arrays["pixels"], arrays["labels"]
    lines = ["label,image"]
    for at, (rows, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(rows).save(folder / f"images/{at}.png")
        lines.append(f"class-{label},images/{at}.png")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    side = pixels.shape[1]
    (folder / "spec.yaml").write_text(IMAGES_SPEC.format(side=side, epochs=EPOCHS))
    return len(labels)


def count_rows(folder: Path) -> int:
    """Count the rows of the table that an earlier run has written."""
    return len((folder / "table.csv").read_text().splitlines()) - 1

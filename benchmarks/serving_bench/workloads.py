"""Workloads for every server: seeded images and rows as HTTP requests."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
import pybase64
from PIL import Image
from tailfuse_service.bundle import Bundle
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, Column

IMAGE, TABULAR = "image", "clinical"  # modalities of the served bundle
SMALL, LARGE, TILE = (64, 64), (1024, 768), (1000, 750)  # pixels
TILES = (4, 4, 1)  # of a photo of 12 million pixels
BATCH_SIZE = 32
BOUNDARY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

Shape = Literal["one", "form", "batch", "value"]
Inputs = dict[str, Any]  # raw values by modality, images as file contents


class Workload(NamedTuple):
    """Requests of one shape; each holds a list of samples."""

    title: str
    shape: Shape
    requests: list[list[Inputs]]

    @property
    def samples(self) -> list[Inputs]:
        return [sample for request in self.requests for sample in request]


class Request(NamedTuple):
    """Content type and body of a POST."""

    content_type: str
    body: bytes


def make_workloads(bundle: Bundle) -> dict[str, Workload]:
    """Return the workloads by name. Every call returns equal workloads."""
    random = np.random.default_rng(0)
    columns = get_tabular_columns(bundle)
    tabular = [{TABULAR: make_row(columns, random)} for _ in range(64)]
    image = [{IMAGE: make_image(SMALL, random)} for _ in range(64)]
    both = [{**make_image, **make_row} for make_image, make_row in zip(image, tabular, strict=True)]
    large = [{IMAGE: make_image(LARGE, random), **make_row} for make_row in tabular[:8]]
    # Alternate the subsets; the offsets keep rows of "both" different from those of the others.
    mix = [sample for group in zip(tabular, image[1:], both[2:], strict=False) for sample in group]
    png, webp = ([{IMAGE: make_image(SMALL, random, kind)} for _ in range(64)] for kind in ("PNG", "WEBP"))
    photos = [{IMAGE: make_photo(random)} for _ in range(2)]
    batches = [both[start : start + BATCH_SIZE] for start in (0, 16, 32)]
    return {
        "tabular": Workload("tabular only", "one", [[each] for each in tabular]),
        "image": Workload("64x64 JPEG only", "one", [[each] for each in image]),
        "image+tabular": Workload("64x64 JPEG + tabular", "one", [[each] for each in both]),
        "mix": Workload("a mix of all subsets", "one", [[each] for each in mix]),
        "large": Workload("1024x768 JPEG + tabular", "one", [[each] for each in large]),
        "png": Workload("64x64 PNG only", "one", [[each] for each in png]),
        "webp": Workload("64x64 WebP only", "one", [[each] for each in webp]),
        "photo": Workload("4000x3000 JPEG only", "one", [[each] for each in photos]),
        "value": Workload("64x64 JPEG as the body", "value", [[each] for each in image]),
        "multipart": Workload("64x64 JPEG + tabular, multipart", "form", [[each] for each in both]),
        "batch": Workload(f"{BATCH_SIZE} x (64x64 JPEG + tabular)", "batch", batches),
    }


def get_tabular_columns(bundle: Bundle) -> tuple[Column, ...]:
    """Return the columns of the bundle's tabular modality."""
    modality = bundle.manifest.modalities[TABULAR]
    assert isinstance(modality, TabularModality)
    return modality.columns


def make_row(columns: Sequence[Column], random: np.random.Generator) -> dict[str, Any]:
    """Draw a value for each column as in the training data."""
    values: dict[str, Any] = {}
    for column in columns:
        if isinstance(column, BooleanColumn):
            values[column.name] = bool(random.random() < 0.5)
        elif isinstance(column, CategoryColumn):
            values[column.name] = str(random.choice(column.categories))
        else:
            values[column.name] = round(float(random.normal(column.mean, column.scale)), 3)
    return values


def make_image(size: tuple[int, int], random: np.random.Generator, kind: str = "JPEG") -> bytes:
    """Make an image file of soft patches and grain, about as large as a camera image of its size."""
    width, height = size
    patches = random.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    soft = np.asarray(Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC), np.float64)
    grain = random.normal(0, 3, (height, width, 1))
    file = io.BytesIO()
    Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(file, kind, quality=80)
    return file.getvalue()


def make_photo(random: np.random.Generator) -> bytes:
    """Make a JPEG as large as a phone's, of equal tiles."""
    tile = np.asarray(Image.open(io.BytesIO(make_image(TILE, random))))
    file = io.BytesIO()
    Image.fromarray(np.tile(tile, TILES)).save(file, "JPEG", quality=80)
    return file.getvalue()


def encode_inputs(sample: Inputs) -> Inputs:
    """Encode the sample for JSON: images in base64."""
    return {
        name: pybase64.b64encode(raw).decode() if isinstance(raw, bytes) else raw
        for name, raw in sample.items()
    }


def make_request(shape: Shape, samples: Sequence[Inputs], *, listed: bool = False) -> Request:
    """Make a request; `listed` is for servers that batch only lists: {"inputs": [sample, …]}."""
    if shape == "value":
        return Request("image/jpeg", samples[0][IMAGE])
    if shape == "form":
        return Request(f"multipart/form-data; boundary={BOUNDARY}", encode_form(samples[0]))
    inputs = [encode_inputs(sample) for sample in samples]
    document: Mapping[str, Any]
    if listed:
        document = {"inputs": inputs}
    elif shape == "batch":
        document = {"items": [{"inputs": each} for each in inputs]}
    else:
        document = {"inputs": inputs[0]}
    return Request("application/json", orjson.dumps(document))


def encode_form(sample: Inputs) -> bytes:
    """Encode as multipart/form-data: a file for the image, JSON for the row."""
    parts = []
    for name, raw in sample.items():
        if isinstance(raw, bytes):
            head = f'name="{name}"; filename="{name}.jpg"\r\nContent-Type: image/jpeg'
        else:
            head, raw = f'name="{name}"', orjson.dumps(raw)
        parts.append(f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + raw)
    return b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])

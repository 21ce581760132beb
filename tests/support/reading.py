"""What is fuzzed: everything that reads bytes of a caller before the model sees them."""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from tailfuse_service.errors import ClientError
from tailfuse_service.http.request_body import parse_boundary, read_form, read_inputs
from tailfuse_service.modalities import ImageModality, SeriesModality
from tailfuse_service.modalities.json_text import parse_json
from tailfuse_service.modalities.series import Channel

from tests.support.bundles import MODALITIES
from tests.support.hostile.corpus import corpus
from tests.support.hostile.pictures import pictures
from tests.support.hostile.request import JSON

TRACE = SeriesModality(columns=("trace",), channels=(Channel(mean=0.0, scale=1.0),) * 2, length=64)
KINDS = {
    **MODALITIES,
    "grey": ImageModality(column="grey", height=32, width=32, channels=1),
    "trace": TRACE,
}
FEATURES = {name: modality.features(name) for name, modality in KINDS.items()}


def feature(name: str) -> Callable[[bytes], Any]:
    return lambda data: FEATURES[name].apply(data)


def each(inputs: dict[str, Any]) -> None:
    """Every modality on its own: one that is wrong hides no other."""
    for name in FEATURES.keys() & inputs.keys():
        if inputs[name] is not None:
            with suppress(ClientError):
                FEATURES[name].apply(inputs[name])


READERS: list[Callable[[bytes], Any]] = [
    feature("image"),
    feature("grey"),
    feature("trace"),
    lambda data: each(read_inputs(parse_json(data))),
    lambda data: each(read_form(data, b"x", KINDS)),
    lambda data: parse_boundary(data.decode("latin-1")),
]


def read(data: bytes) -> None:
    """The first byte chooses the reader of the rest. Raises whatever is no ClientError."""
    if data:
        with suppress(ClientError):
            READERS[data[0] % len(READERS)](data[1:])


def seeds() -> Iterator[bytes]:
    """The corpus, for those who read such things, and a series of each kind of file."""
    for picture in pictures().values():
        yield b"\0" + picture.data
        yield b"\1" + picture.data
    for request in corpus().values():
        yield (b"\3" if request.content_type == JSON else b"\4") + request.body
        yield b"\5" + request.content_type.encode()
    for file in series():
        yield b"\2" + file


def series() -> Iterator[bytes]:
    for array in (np.zeros((9, 2)), np.ones((9, 2), np.int16), np.full((1, 2), np.nan, np.float16)):
        file = io.BytesIO()
        np.save(file, array)
        yield file.getvalue()
    for bits, encoding in ((8, 1), (16, 1), (24, 1), (32, 3)):
        data = bytes(bits // 8 * 2 * 9)
        layout = struct.pack("<HHIIHH", encoding, 2, 8000, 8000, bits // 4, bits)
        chunks = b"fmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(data)) + data
        yield b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks
    yield b"left,right\n1,2\n3,\nnan,1e9\n"
    yield b"[[1, 2], [3, null]]"

"""Sound as .wav files, by the standard library and by hand."""

import io
import struct
import wave
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_wav(samples: NDArray[Any], n_bytes: int) -> bytes:
    """PCM by the standard library; `samples` (time, channels) are -1..1."""
    top = 2 ** (8 * n_bytes - 1)
    whole = np.clip(np.round(samples * top), -top, top - 1).astype("<i8")
    data = whole.astype("<u8").view(np.uint8).reshape(*whole.shape, 8)[:, :, :n_bytes].tobytes()
    if n_bytes == 1:
        data = (whole + 128).astype(np.uint8).tobytes()
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(samples.shape[1])
        out.setsampwidth(n_bytes)
        out.setframerate(8000)
        out.writeframes(data)
    return file.getvalue()


def write_riff(layout: bytes, data: bytes) -> bytes:
    """A .wav by hand."""
    chunks = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout
    chunks += b"LIST\x03\x00\x00\x00abc\x00data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def write_layout(encoding: int, channels: int, bits: int, more: bytes = b"") -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", encoding, channels, 8000, 8000 * frame, frame, bits) + more

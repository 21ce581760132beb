"""Attacks by what a request holds: images, deep and wide JSON, batches that are abandoned, floods."""

import asyncio
import io
import json
import time
from base64 import b64encode
from collections import Counter
from functools import cache

from PIL import Image

from tests.support.attacks.target import (
    PAUSE_S,
    Attack,
    Target,
    connect,
    repeat,
    send_and_note,
    write_request,
)


def encode(image: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return b64encode(file.getvalue()).decode()


def write_inputs(**inputs: object) -> bytes:
    return json.dumps({"inputs": inputs}).encode()


@cache
def encode_costly_images() -> list[str]:
    flat = Image.new("RGB", (5000, 5000))
    slow = Image.new("RGB", (3000, 3000))
    return [*(encode(flat, kind) for kind in ("PNG", "JPEG", "GIF", "TIFF")), encode(slow, "JPEG2000")]


async def costly_images(target: Target, end: float, seen: Counter[str]) -> None:
    """Points 4 and 5: few bytes that are many pixels, or a slow format."""
    images = encode_costly_images()
    at = 0
    while time.monotonic() < end:
        await send_and_note(target, write_request(write_inputs(image=images[at % len(images)])), seen)
        at += 1
        await asyncio.sleep(0.2)


async def large_json(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 6: bodies that take long to parse."""
    bodies = (
        b'{"inputs": {"notes": [' + b"[]," * 3_000_000 + b"[]]}}",
        b'{"inputs": {"clinical": {"age": ' + b"9" * 1_000_000 + b"}}}",
        b'{"inputs": {"notes": "' + b"a" * 8_000_000 + b'"}}',
        b'{"inputs": {"clinical": [' + b"1e999," * 100_000 + b"1]}}",
        b"[" * 100_000,
    )
    at = 0
    while time.monotonic() < end:
        await send_and_note(target, write_request(bodies[at % len(bodies)]), seen, wait_s=5)
        at += 1
        await asyncio.sleep(0.5)


async def large_protocol_bodies(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 6: the same for the Open Inference Protocol."""
    inputs = b",".join(b'{"name":"n%d","datatype":"FP32","shape":[1],"data":[1]}' % i for i in range(20_000))
    nested = (
        b'{"inputs":[{"name":"notes","datatype":"BYTES","shape":[1],"data":' + b"[" * 31 + b"1.5," * 200_000
    )
    path = "/v2/models/skin-lesions/infer"
    at = 0
    while time.monotonic() < end:
        body = b'{"inputs":[' + inputs + b"]}" if at % 2 else nested
        await send_and_note(target, write_request(body, path), seen, wait_s=5)
        at += 1
        await asyncio.sleep(0.5)


async def abandoned_batches(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 7: batches of images whose caller goes."""
    image = encode(Image.new("RGB", (1500, 1500)), "PNG")
    body = json.dumps({"items": [{"inputs": {"image": image}}] * 60}).encode()
    while time.monotonic() < end:
        async with connect(target) as (_, writer):
            try:
                writer.write(write_request(body, "/predict/batch"))
                await asyncio.wait_for(writer.drain(), 2)
                await asyncio.sleep(0.1)
                seen["abandoned"] += 1
            except (OSError, TimeoutError):
                seen["refused"] += 1
        await asyncio.sleep(0.5)


async def log_floods(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 10: problems, each of which is a line of the log."""
    request = write_request(b"{", more="X-Request-Id: " + "a" * 100 + "\r\n")
    await repeat(target, end, seen, request * 10)


async def a_flooding_key(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 16: one key sends batches on eight connections at once."""
    rows = [{"inputs": {"clinical": {"age": number, "pulse": 70}}} for number in range(200)]
    request = write_request(json.dumps({"items": rows}).encode(), "/predict/batch")
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(repeat(target, end, seen, request, PAUSE_S))


ATTACKS: tuple[Attack, ...] = (
    costly_images, large_json, large_protocol_bodies, abandoned_batches, log_floods, a_flooding_key,
)  # fmt: skip

"""Bodies that are long, half sent, costly to parse, or not waited for."""

import asyncio
from contextlib import AsyncExitStack
from functools import cache
from itertools import count

import numpy as np
from PIL import Image

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.images import encode, make_body
from tests.support.attacks.wires import connect, post_with_key
from tests.support.hostile.wire import head
from tests.support.oip.tensors import INFER

MAX_BODY = 16 * 1024 * 1024 - 1024
N_HALF = 40
HOLD_S = 4.0


@cache
def make_costly_bodies() -> list[tuple[str, bytes]]:
    """Legal JSON of 16 MiB, by path: what costs most to parse by its length."""

    def fill(begin: bytes, item: bytes, end: bytes) -> bytes:
        return begin + item * ((MAX_BODY - len(begin) - len(end)) // len(item)) + end

    inputs, tensor = b'{"inputs":{"clinical":[', b'{"inputs":[{"name":"clinical","datatype":"FP32",'
    shape = b'"shape":[1000000,1],"data":['
    named = b'{"name":"notes","datatype":"BYTES","shape":[1],"data":["x"]},'
    return [
        ("/predict", fill(inputs, b"[],", b"1]}}")),
        ("/predict", fill(inputs, b"1,", b"1e999]}}")),
        ("/predict", fill(inputs, b'{"a":1},', b"1]}}")),
        ("/predict", fill(b'{"inputs":{"notes":"', b'\\"', b'"}}')),
        ("/predict", fill(b'{"inputs":{', b'"abc":1,', b'"d":1}}')),
        ("/predict/batch", fill(b'{"items":[', b"[],", b"1]}")),
        (INFER, fill(tensor + shape, b"[1],", b"[1]]}]}")),
        (INFER, fill(tensor + shape, b"1,", b"1]}]}")),
        (INFER, fill(b'{"inputs":[', named, named[:-1] + b"]}")),
    ]


@cache
def make_deep_bodies() -> list[tuple[str, bytes]]:
    """JSON that is short, and deep, wide or out of range."""
    deep = b"[" * 100_000 + b"]" * 100_000
    named = b",".join(
        b'{"name":"n%d","datatype":"FP32","shape":[1],"data":[1]}' % number for number in range(20_000)
    )
    many = b",".join([b"[" * 30 + b"]" * 30] * 8000)
    return [
        ("/predict", b'{"inputs":' + deep + b"}"),
        ("/predict", b'{"inputs":{"clinical":[' + many + b"]}}"),
        ("/predict", b'{"inputs":{"clinical":{"age":1e999}}}'),
        ("/predict", b'{"inputs":{"clinical":{"age":' + b"9" * 1_000_000 + b"}}}"),
        (INFER, b'{"inputs":[' + named + b"]}"),
        (INFER, b'{"inputs":[{"name":"clinical","datatype":"FP32","shape":[1],"data":' + deep + b"}]}"),
    ]


NUMBERS = {"costly": count(), "deep": count()}


async def send_next(target: Target, record: Record, which: str, bodies: list[tuple[str, bytes]]) -> None:
    path, body = bodies[next(NUMBERS[which]) % len(bodies)]
    async with connect(target, record) as line:
        await line.ask(post_with_key(target, body, path))


@attack("costly JSON", point=6, every_s=1.0, prepare=make_costly_bodies)
async def send_costly(target: Target, record: Record) -> None:
    await send_next(target, record, "costly", make_costly_bodies())


@attack("deep JSON", point=6, every_s=0.2)
async def send_deep(target: Target, record: Record) -> None:
    await send_next(target, record, "deep", make_deep_bodies())


@attack("large bodies", point=5, every_s=1.0)
async def send_large(target: Target, record: Record) -> None:
    """Sixteen MiB that are no JSON."""
    async with connect(target, record) as line:
        await line.ask(post_with_key(target, b" " * MAX_BODY))


@attack("half-sent bodies", point=5, every_s=1.0)
async def send_half(target: Target, record: Record) -> None:
    begun = head(content_length=MAX_BODY, x_api_key=target.key) + b" " * 400_000
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connect(target, record)) for _ in range(N_HALF)]
        await asyncio.gather(*(line.ask(begun, seconds=HOLD_S) for line in lines))


@cache
def make_batch() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    return make_body(*[encode(Image.fromarray(noise), "JPEG")] * 200)


@attack("abandoned batches", point=7, every_s=0.5, prepare=make_batch)
async def abandon_batch(target: Target, record: Record) -> None:
    async with connect(target, record) as line:
        await line.send(post_with_key(target, make_batch(), "/predict/batch"))
        await asyncio.sleep(0.05)
    record["abandoned"] += 1

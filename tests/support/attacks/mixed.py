"""Items that are to fail alone, and noise on the port of gRPC."""

import os
from dataclasses import replace
from itertools import count

import orjson
from tailfuse_service.oip.messages import SERVICE

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.wires import connect, post_with_key

NUMBER = count()


@attack("bad items in batches", point=14, every_s=0.1)
async def send_bad_items(target: Target, record: Record) -> None:
    """Every item has a fault of its own."""
    values: list[object] = [True, [], {}, "x", 1e300, None, {"age": []}, {"age": "1" * 400}, {"pulse": True}]
    items = [{"inputs": {name: value}} for name in ("image", "clinical", "notes") for value in values]
    async with connect(target, record) as line:
        await line.ask(post_with_key(target, orjson.dumps({"items": items}), "/predict/batch"))


@attack("gRPC noise", point=16, every_s=0.2)
async def send_grpc_noise(target: Target, record: Record) -> None:
    """Bytes that are no HTTP/2, and calls whose messages are noise."""
    if target.grpc_port is None:
        record["gRPC is not served"] = 1
        return
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    noise = (os.urandom(1000), preface + os.urandom(1000), preface, preface + bytes(9) * 100)
    number = next(NUMBER)
    async with connect(replace(target, port=target.grpc_port), record) as line:
        await line.send(noise[number % len(noise)])
        await line.read(1, 0.5)
    await call_with_noise(target, record)


async def call_with_noise(target: Target, record: Record) -> None:
    import grpc.aio

    async with grpc.aio.insecure_channel(f"{target.host}:{target.grpc_port}") as channel:
        for metadata in ((), (("x-api-key", target.key),)):
            call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            try:
                await call(os.urandom(200), timeout=5, metadata=metadata)
                record["OK"] += 1
            except grpc.aio.AioRpcError as error:
                record[error.code().name] += 1

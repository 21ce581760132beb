"""Requests that are malformed: chunks, Host, heads, and noise behind a valid request."""

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.wires import connect, post_with_key
from tests.support.hostile.wire import head

LONG = "x" * 70_000


async def send_each(target: Target, record: Record, requests: list[bytes]) -> None:
    """Send each on a connection of its own, and read until it is answered."""
    for request in requests:
        async with connect(target, record) as line:
            await line.ask(request, seconds=1)


@attack("malformed chunks", point=17, every_s=0.2)
async def send_chunks(target: Target, record: Record) -> None:
    begin = head(transfer_encoding="chunked", x_api_key=target.key)
    bodies = (b"zz\r\n", b"-5\r\nhello\r\n", b"1" + b"0" * 16 + b"\r\nx\r\n", b"2\r\nhello\r\n0\r\n\r\n")
    tiny = b"1\r\n \r\n" * 10_000 + b"0\r\n\r\n"
    await send_each(target, record, [begin + body for body in (*bodies, tiny)])


@attack("malformed Host", point=17, every_s=0.2)
async def send_hosts(target: Target, record: Record) -> None:
    line = b"GET /healthz HTTP/1.1\r\n"
    await send_each(
        target,
        record,
        [line + b"\r\n", line + b"host: x\r\nhost: y\r\n\r\n", b"GET /healthz HTTP/1.0\r\n\r\n"],
    )


@attack("malformed heads", point=17, every_s=0.2)
async def send_heads(target: Target, record: Record) -> None:
    good = post_with_key(target, b'{"inputs":{"notes":"a mole"}}')
    await send_each(
        target, record,
        [
            b"\x16\x03\x01\x02\x00\x01\x00" + bytes(500),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
            bytes(1000) + b"\r\n\r\n",
            head("GET", "/healthz", x=LONG),
            head("GET", "/" + LONG),
            head("GET", "/healthz", **{f"x{number}": "y" for number in range(1000)}),
            good + b"\x00\x01 nonsense\r\n\r\n",
            head(content_length=5)[:-2] + b"content-length: 6\r\n\r\nhello!",
        ],
    )  # fmt: skip

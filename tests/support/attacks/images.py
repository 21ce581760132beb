"""Images that are small to send and large to decode."""

import base64
import io
from functools import cache
from itertools import count

import orjson
from PIL import Image

from tests.support.attacks.attack import Record, Target, attack
from tests.support.attacks.wires import connect, post_with_key
from tests.support.hostile.pictures import bombs

SIDE = 6500  # 42 megapixels; the service accepts 50
NUMBER = count()


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@cache
def make_bombs() -> list[bytes]:
    """Flat images of all formats, as large as may be, and those that lie about their size."""
    flat = Image.new("RGB", (SIDE, SIDE))
    large = [
        encode(flat, "PNG"),
        encode(flat, "JPEG"),
        encode(flat, "JPEG", progressive=True, subsampling=0),
        encode(flat.convert("CMYK"), "JPEG"),
        encode(flat.convert("P"), "GIF"),
        encode(flat, "TIFF", compression="tiff_adobe_deflate"),
        encode(Image.new("I", (SIDE, SIDE)), "TIFF", compression="tiff_adobe_deflate"),
        encode(Image.new("RGB", (4000, 4000)), "WEBP", lossless=True, quality=0, method=0),
        encode(Image.new("1", (SIDE, SIDE)), "BMP"),
    ]
    return [*large, *(each.data for each in bombs().values())]


@cache
def make_jpeg2000() -> bytes:
    return encode(Image.new("RGB", (2000, 2000)), "JPEG2000")


def make_body(*images: bytes) -> bytes:
    items = [{"inputs": {"image": base64.b64encode(each).decode()}} for each in images]
    return orjson.dumps(items[0] if len(items) == 1 else {"items": items})


@attack("JPEG 2000", point=4, every_s=0.5, prepare=make_jpeg2000)
async def send_jpeg2000(target: Target, record: Record) -> None:
    """A batch of them: the decoder holds the interpreter's lock for seconds."""
    async with connect(target, record) as line:
        body = make_body(*[make_jpeg2000()] * 64)
        await line.ask(post_with_key(target, body, "/predict/batch"))


@attack("image bombs", point=5, every_s=1.0, prepare=make_bombs)
async def send_bombs(target: Target, record: Record) -> None:
    images = make_bombs()
    async with connect(target, record) as line:
        await line.ask(post_with_key(target, make_body(images[next(NUMBER) % len(images)])))

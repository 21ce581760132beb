"""What is decoded has its memory first, waits for it in order, or can never have it."""

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import Overloaded, TooManyPixels
from tailfuse_service.inference.engine import Engine
from tailfuse_service.metrics import Metrics
from tailfuse_service.modalities import ImageModality, SeriesModality
from tailfuse_service.modalities.decoding import DECODING, UNCOUNTED_BYTES, DecodingMemory, TooMuchMemory
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.series.files import estimate_decode_bytes
from tailfuse_service.settings import Settings

COUNTED = UNCOUNTED_BYTES + 1


@pytest.fixture
def decoding() -> Iterator[DecodingMemory]:
    """The process's memory for decoding; without a limit again afterwards."""
    yield DECODING
    DECODING.set_limit(None)
    assert DECODING.held == 0


def test_large_images_wait_for_one_another_and_small_ones_do_not() -> None:
    memory = DecodingMemory()
    memory.set_limit(2 * COUNTED)
    begun, done = threading.Event(), threading.Event()

    def second() -> None:
        begun.set()
        with memory.reserve(COUNTED):
            done.set()

    with memory.reserve(COUNTED + 1):
        thread = threading.Thread(target=second)
        thread.start()
        assert begun.wait(30)
        with memory.reserve(UNCOUNTED_BYTES):
            assert not done.is_set()
    thread.join(30)
    assert done.is_set()
    assert memory.held == 0


def test_who_comes_first_gets_memory_first() -> None:
    memory = DecodingMemory()
    memory.set_limit(4 * COUNTED)
    order: list[str] = []
    threads = []

    def decode(name: str, n_bytes: int) -> None:
        with memory.reserve(n_bytes):
            order.append(name)

    with memory.reserve(2 * COUNTED):
        for name, n_bytes in (("large", 4 * COUNTED), ("small", COUNTED)):
            thread = threading.Thread(target=decode, args=(name, n_bytes))
            thread.start()
            threads.append(thread)
            while len(memory._waiting) < len(threads):
                threading.Event().wait(0.001)
        assert order == []  # there is room for the small one, but it would pass the large one
    for thread in threads:
        thread.join(30)
    assert order == ["large", "small"]


def test_what_raises_gives_its_memory_back_and_what_can_never_fit_does_not_wait() -> None:
    memory = DecodingMemory()
    memory.set_limit(COUNTED)
    for _ in range(2):
        with pytest.raises(KeyError), memory.reserve(COUNTED):
            raise KeyError
    with memory.reserve(COUNTED), pytest.raises(TooMuchMemory), memory.reserve(COUNTED + 1):
        pass
    assert memory.held == 0


def test_who_waits_for_too_long_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailfuse_service.modalities.decoding.MAX_WAIT_S", 0.01)
    memory = DecodingMemory()
    memory.set_limit(COUNTED)
    with memory.reserve(COUNTED), pytest.raises(Overloaded), memory.reserve(COUNTED):
        pass
    with memory.reserve(COUNTED):  # who has given up is not in the way
        pass


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
def test_an_image_that_needs_more_memory_than_there_is_is_refused(
    decoding: DecodingMemory, form: str
) -> None:
    file = io.BytesIO()
    Image.new("RGB", (2000, 2000)).save(file, form)
    features = ImageModality(column="i", height=8, width=8, channels=3).features("i")
    assert features.apply(file.getvalue()) is not None
    decoding.set_limit(COUNTED)
    with pytest.raises(TooManyPixels, match=rf"{form} of 2000 x 2000 pixels takes [\d,]+ bytes of memory"):
        features.apply(file.getvalue())


def test_a_series_that_needs_more_memory_than_there_is_is_refused(decoding: DecodingMemory) -> None:
    series = SeriesModality(columns=("s",), channels=(Channel(mean=0.0, scale=1.0),), length=8)
    features = series.features("s")
    text = b"1.5\n" * 100_000
    for raw in (text, base64.b64encode(text).decode()):
        assert features.apply(raw) is not None
    decoding.set_limit(COUNTED)
    for raw in (text, base64.b64encode(text).decode()):
        with pytest.raises(Exception, match="bytes of memory to read; there are"):
            features.apply(raw)
    assert estimate_decode_bytes(text) > COUNTED


def test_on_the_event_loop_nothing_waits_for_memory(decoding: DecodingMemory, bundle: Bundle) -> None:
    """An image small enough for the loop is decoded by a thread, once others have given their memory back."""
    file = io.BytesIO()
    Image.new("RGB", (500, 500)).save(file, "PNG")

    async def scenario() -> None:
        engine = Engine(bundle, Settings(bundle=Path("b")), Metrics())
        decoding.set_limit(4 * COUNTED)
        with decoding.reserve(4 * COUNTED):
            prediction = engine.submit({"image": file.getvalue()}, 100)
            await asyncio.sleep(0.05)  # the loop goes on
            assert not prediction.done()
        assert (await prediction).labels
        await engine.close()

    asyncio.run(scenario())

"""Callers of a service, and what may be wrong with what they send."""

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import httpx2
import numpy as np
from PIL import Image

from tests.support.asking import Inputs, as_form, as_json

Mood = Callable[[Inputs, random.Random], Inputs]  # what becomes of a sample before it is sent

SUBSETS = (("image", "fourier", "shape"), ("image", "fourier"), ("fourier", "shape"), ("image",), ("shape",))
SHARES = (92, 3, 3, 1, 1)


def draw_subset(sample: Inputs, chance: random.Random) -> Inputs:
    """Most samples have all of their modalities."""
    (subset,) = chance.choices(SUBSETS, SHARES)
    return {name: sample[name] for name in subset}


def add_noise(sample: Inputs, chance: random.Random) -> Inputs:
    """The camera shows snow."""
    pixels = np.frombuffer(chance.randbytes(16 * 15), np.uint8).reshape(16, 15)
    return _replace_image(draw_subset(sample, chance), encode_png(Image.fromarray(pixels)))


def cover_lens(sample: Inputs, chance: random.Random) -> Inputs:
    """The lens is covered."""
    return _replace_image(
        draw_subset(sample, chance), encode_png(Image.new("L", (15, 16), chance.randrange(4)))
    )


def truncate_images(sample: Inputs, chance: random.Random) -> Inputs:
    """Half of the files are cut off."""
    inputs = draw_subset(sample, chance)
    return (
        _replace_image(inputs, b"\x89PNG\r\n\x1a\n" + chance.randbytes(40))
        if chance.random() < 0.5
        else inputs
    )


def drop_images(sample: Inputs, chance: random.Random) -> Inputs:
    """The camera is gone."""
    return {name: sample[name] for name in ("fourier", "shape")}


def _replace_image(inputs: Inputs, image: bytes) -> Inputs:
    return inputs | {"image": image} if "image" in inputs else inputs


def encode_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Traffic:
    """A caller in a thread, from `with` to its end; `mood` may be changed meanwhile.

    Samples are drawn from `rows` with `weights`, and sent `per_second` times: most as JSON, some as forms,
    some in batches.
    """

    def __init__(
        self, url: str, rows: Sequence[Inputs], weights: Sequence[float] | None = None, *,
        per_second: float = 60, mood: Mood = draw_subset, seed: int = 0,
    ) -> None:  # fmt: skip
        self.mood = mood
        self.statuses: Counter[int] = Counter()
        self._url, self._rows, self._weights, self._per_second = url, rows, weights, per_second
        self._chance = random.Random(seed)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._call, daemon=True)

    @property
    def sent(self) -> int:
        return self.statuses.total()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join(60)

    def _call(self) -> None:
        due = time.monotonic()
        with httpx2.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._enough.is_set():
                self.statuses[self._ask(client)] += 1
                due += 1 / self._per_second
                self._enough.wait(max(0.0, due - time.monotonic()))

    def _ask(self, client: httpx2.Client) -> int:
        kind = self._chance.random()
        if kind < 0.05:
            items = [as_json(self._next()) for _ in range(self._chance.randint(2, 8))]
            return client.post("/predict/batch", json={"items": items}).status_code
        if kind < 0.2:
            return client.post("/predict", files=as_form(self._next())).status_code
        return client.post("/predict", json=as_json(self._next())).status_code

    def _next(self) -> dict[str, Any]:
        (sample,) = self._chance.choices(self._rows, self._weights)
        return self.mood(sample, self._chance)

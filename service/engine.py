"""Answers samples: raw values in, predictions out. Knows the bundle and the batcher, not HTTP."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from service.batcher import Batcher
from service.bundle import Bundle, Sample
from service.bundle.answer import Prediction, predictions_of
from service.errors import ClientError, DeadlineExceeded, InferenceFailed, NotReady, Overloaded
from service.metrics import Metrics
from service.settings import Settings

T = TypeVar("T")

# Reading a longer request (decoding a picture, mostly) would hold up all the others.
INLINE_BYTES = 16 * 1024

Inputs = dict[str, Any]  # raw values by modality


class Engine:
    """Holds the bundle. Without one, nothing is answered: the service is not ready."""

    def __init__(self, bundle: Bundle | None, settings: Settings, metrics: Metrics) -> None:
        self._bundle = bundle
        self._closed = False
        self._metrics = metrics
        self._timeout_s = settings.request_timeout_s
        self._max_queue = settings.max_queue
        self._batcher: Batcher[Sample, Prediction] = Batcher(
            self._run, max_batch_size=settings.max_batch_size, max_queue=settings.max_queue
        )
        self._readers = ThreadPoolExecutor(min(os.cpu_count() or 1, 8), thread_name_prefix="reader")
        self._reading = 0  # requests that are with the readers
        metrics.queue_depth.set_function(lambda: len(self._batcher))

    @property
    def bundle(self) -> Bundle:
        """The bundle that is served. Raises NotReady."""
        if self._closed:
            raise NotReady("the service is stopping")
        if self._bundle is None:
            raise NotReady("no bundle is loaded")
        return self._bundle

    async def predict(self, inputs: Inputs, n_bytes: int) -> Prediction:
        """The prediction for one sample; `n_bytes` is how long its request was.

        Raises ClientError, Overloaded, NotReady, DeadlineExceeded or InferenceFailed.
        """
        bundle = self.bundle
        try:
            async with asyncio.timeout(self._timeout_s):
                if n_bytes > INLINE_BYTES:
                    sample = await self._in_reader(bundle.sample, inputs)
                else:
                    sample = bundle.sample(inputs)
                return await self._batcher.submit(sample)
        except TimeoutError:
            raise self._too_late() from None

    async def predict_all(
        self, items: Sequence[Inputs | ClientError], n_bytes: int
    ) -> list[Prediction | BaseException]:
        """A prediction or an error for each item; errors among the items stay where they are.

        Raises Overloaded, NotReady or DeadlineExceeded for all of them.
        """
        bundle = self.bundle
        try:
            async with asyncio.timeout(self._timeout_s):
                if n_bytes > INLINE_BYTES:
                    samples = await self._in_reader(samples_of, bundle, items)
                else:
                    samples = samples_of(bundle, items)
                good = [sample for sample in samples if not isinstance(sample, ClientError)]
                answers = iter(await self._batcher.submit_all(good))
        except TimeoutError:
            raise self._too_late() from None
        return [sample if isinstance(sample, ClientError) else next(answers) for sample in samples]

    async def close(self) -> None:
        """Not ready from now on; what is queued is still answered."""
        self._closed = True
        await self._batcher.close()
        self._readers.shutdown()

    def _run(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One run of the model, in the batcher's thread. Raises InferenceFailed."""
        assert self._bundle is not None
        batch = self._bundle.collate(samples)
        start = time.perf_counter()
        try:
            output = self._bundle.runtime.run(batch)
        except Exception as error:
            raise InferenceFailed("the model failed; the service's log says why") from error
        if not np.isfinite(output.probabilities).all():
            raise InferenceFailed("the model's answer is not a number")
        self._metrics.observe_batch(output, batch.presence, time.perf_counter() - start)
        return predictions_of(output, batch.presence, self._bundle.manifest.class_names)

    async def _in_reader(self, read: Callable[..., T], *arguments: Any) -> T:
        """Call `read` in a thread. Raises Overloaded when too many wait there already."""
        if self._reading + len(self._batcher) >= self._max_queue:
            raise Overloaded("too many samples are waiting; try again soon", retry_after_s=1)
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, read, *arguments)
        finally:
            self._reading -= 1

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"no answer within {self._timeout_s:g} s", expected=self._timeout_s)


def samples_of(bundle: Bundle, items: Sequence[Inputs | ClientError]) -> list[Sample | ClientError]:
    """A sample or an error for each item."""
    samples: list[Sample | ClientError] = []
    for item in items:
        try:
            samples.append(item if isinstance(item, ClientError) else bundle.sample(item))
        except ClientError as error:
            samples.append(error)
    return samples

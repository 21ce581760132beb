"""Answers samples with one bundle: raw values in, predictions out. Knows the batcher, not HTTP."""

import asyncio
import os
import time
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from tailfuse_service.bundle import Bundle, Output, Sample
from tailfuse_service.bundle.answer import Prediction, predictions_of
from tailfuse_service.bundle.bundle import features_by_modality
from tailfuse_service.errors import ClientError, InferenceFailed, Overloaded, TooManyPixels
from tailfuse_service.inference.batcher import Batcher, make_deadline_error
from tailfuse_service.inference.explanations import (
    Explained,
    Plan,
    Subset,
    find_prior,
    make_explanation,
    make_plan,
)
from tailfuse_service.inference.shadow import ShadowRunner
from tailfuse_service.metrics import Metrics, ModelMetrics
from tailfuse_service.settings import Settings

T = TypeVar("T")

# Reading a longer request, or decoding a larger picture, would hold up all the others. On one core a thread
# costs a quarter more, but without it some callers wait ten times as long as others.
INLINE_BYTES, INLINE_PIXELS = 16 * 1024, 256 * 1024

Inputs = dict[str, Any]  # raw values by modality


class Engine:
    """A bundle and all that belongs to it alone: what is read for it, waits for it and runs on it."""

    def __init__(self, bundle: Bundle, settings: Settings, metrics: Metrics) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self._inline_bundle = limit_to_small(bundle)
        self._timeout_s = settings.request_timeout_s
        self._max_queue = settings.max_queue
        self._max_rows = min(settings.max_batch_size, settings.max_queue)  # of explanations, in the queue
        # The batcher knows no engine: without a cycle, a bundle's memory is free as soon as nobody needs it.
        self.model_metrics = metrics.serve(bundle)
        self._metrics = metrics
        self._decoded, self.encoded = metrics.decode.add, metrics.encode.add
        self._batcher: Batcher[Sample, Prediction] = Batcher(
            partial(run, bundle, self.model_metrics),
            max_batch_size=settings.max_batch_size,
            max_queue=settings.max_queue,
            timeout_s=settings.request_timeout_s,
            waited=metrics.observe_queue,
        )
        self.shadow_runner: ShadowRunner | None = None  # what asks a shadow the same
        self._readers = ThreadPoolExecutor(min(os.cpu_count() or 1, 8), thread_name_prefix="reader")
        self._n_reading = 0  # requests that are with the readers, or being explained
        self._all_read: Future[None] | None = None  # somebody closes

    def __len__(self) -> int:
        """How many samples wait for their run."""
        return len(self._batcher)

    @property
    def in_flight(self) -> int:
        """How many have been taken and not answered: samples, and requests that are being read."""
        return self._n_reading + self._batcher.in_flight

    def submit(self, inputs: Inputs, n_bytes: int) -> Future[Prediction]:
        """The prediction for one sample, to come; `n_bytes` is how long its request was.

        Raises ClientError, Overloaded or NotReady; the future may raise these, DeadlineExceeded or
        InferenceFailed. Whoever no longer waits for it withdraws it.
        """
        prediction: Future[Prediction] | None = None
        if n_bytes <= INLINE_BYTES:
            try:  # contextlib.suppress takes 0.2 us
                prediction = self._batcher.submit(self._sample(self._inline_bundle, inputs))
            except TooManyPixels:
                prediction = None  # a few bytes may be a picture of many pixels
        if prediction is None:
            prediction = asyncio.get_running_loop().create_task(self._read_and_submit(inputs))
        if self.shadow_runner is not None:
            self.shadow_runner.watch(inputs, prediction)
        return prediction

    def explain(self, inputs: Inputs) -> Future[Explained]:
        """The prediction for one sample and why, to come. The future may raise whatever `submit` may."""
        return asyncio.get_running_loop().create_task(self._explain(inputs))

    def withdraw(self, future: Future[Any]) -> None:
        """The caller has gone; no more work is done for them."""
        self._batcher.withdraw([future])

    async def predict_all(self, items: Sequence[Inputs | ClientError]) -> list[Prediction | BaseException]:
        """A prediction or an error for each item; errors among the items stay where they are.

        Raises Overloaded, NotReady or DeadlineExceeded for all of them.
        """
        async with self._limit_time():
            samples = await self._in_reader(self._samples, items)
            futures = self._batcher.submit_all(
                [each for each in samples if not isinstance(each, ClientError)]
            )
            try:
                answers = iter(await asyncio.gather(*futures, return_exceptions=True))
            finally:
                self._batcher.withdraw(futures)
        predictions = [sample if isinstance(sample, ClientError) else next(answers) for sample in samples]
        if self.shadow_runner is not None:
            self.shadow_runner.watch_all(items, predictions)
        return predictions

    async def explain_all(self, items: Sequence[Inputs | ClientError]) -> list[Explained | BaseException]:
        """As `predict_all`, and why; the values of a sample are read once, whatever is run to explain it."""
        self._check_room()
        async with self._limit_time():
            with self._keep_open():
                plans = await self._in_thread(self._plans, items)
                rows = [row for plan in plans if isinstance(plan, Plan) for row in plan.rows()]
                answers = iter(await self._in_pieces(rows))
                results = await self._in_thread(self._explained, plans, answers)
        if self.shadow_runner is not None:
            predictions = [each.prediction if isinstance(each, Explained) else each for each in results]
            self.shadow_runner.watch_all(items, predictions)
        return results

    async def close(self) -> None:
        """Answer what has been taken, and refuse whatever comes after."""
        if self._n_reading:
            self._all_read = asyncio.get_running_loop().create_future()
            await self._all_read
        await self._batcher.close()
        self._metrics.close(self.model_metrics)
        self._readers.shutdown(wait=False)  # one may still read for somebody who has gone

    async def _read_and_submit(self, inputs: Inputs) -> Prediction:
        async with self._limit_time():
            future = self._batcher.submit(await self._in_reader(self._sample, self.bundle, inputs))
            try:
                return await future
            finally:
                self._batcher.withdraw([future])

    async def _explain(self, inputs: Inputs) -> Explained:
        (result,) = await self.explain_all([inputs])
        if isinstance(result, BaseException):
            raise result
        return result

    async def _in_pieces(self, rows: Sequence[Sample]) -> list[Prediction | BaseException]:
        """An answer for each row. No more than a batch of them wait at once: others come in between."""
        answers: list[Prediction | BaseException] = []
        for start in range(0, len(rows), self._max_rows):
            futures = self._batcher.submit_all(rows[start : start + self._max_rows])
            try:
                answers += await asyncio.gather(*futures, return_exceptions=True)
            finally:
                self._batcher.withdraw(futures)
        return answers

    def _sample(self, bundle: Bundle, inputs: Inputs) -> Sample:
        """Raises ClientError."""
        start = time.perf_counter()
        try:
            sample = bundle.sample(inputs)
        except ClientError as error:
            if bundle is self.bundle or not isinstance(error, TooManyPixels):  # else it is tried again
                self.model_metrics.count_failure(error.members.get("modality"))
            raise
        self._decoded(time.perf_counter() - start)
        return sample

    def _samples(self, items: Sequence[Inputs | ClientError]) -> list[Sample | ClientError]:
        """A sample or an error for each item."""
        samples: list[Sample | ClientError] = []
        for item in items:
            try:
                samples.append(item if isinstance(item, ClientError) else self._sample(self.bundle, item))
            except ClientError as error:
                samples.append(error)
        return samples

    def _plans(self, items: Sequence[Inputs | ClientError]) -> list[Plan | ClientError]:
        """What is run to explain each item, or its error."""
        return [
            each if isinstance(each, ClientError) else make_plan(each, self.manifest.modalities)
            for each in self._samples(items)
        ]

    def _explained(
        self, plans: Sequence[Plan | ClientError], answers: Iterator[Prediction | BaseException]
    ) -> list[Explained | BaseException]:
        """Each item explained by the answers to its rows, or its error; of several the first."""
        prior = find_prior(self.manifest)
        results: list[Explained | BaseException] = []
        for plan in plans:
            if isinstance(plan, ClientError):
                results.append(plan)
                continue
            own = list(islice(answers, len(plan.subsets)))
            failed = [each for each in own if isinstance(each, BaseException)]
            predictions = [each for each in own if isinstance(each, Prediction)]
            results.append(failed[0] if failed else make_explanation(plan, predictions, prior))
        return results

    @asynccontextmanager
    async def _limit_time(self) -> AsyncIterator[None]:
        """Raises DeadlineExceeded when its block takes too long."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise make_deadline_error(self._timeout_s) from None

    async def _in_reader(self, read: Callable[..., T], *arguments: Any) -> T:
        """Call `read` in a thread. Raises Overloaded when too many wait there already."""
        self._check_room()
        with self._keep_open():
            return await self._in_thread(read, *arguments)

    def _in_thread(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._readers, call, *arguments)

    def _check_room(self) -> None:
        """Raises Overloaded."""
        if self._n_reading + len(self._batcher) >= self._max_queue:
            raise Overloaded("too many samples are waiting; try again soon", retry_after_s=1)

    @contextmanager
    def _keep_open(self) -> Iterator[None]:
        """The engine does not close before the block's end."""
        self._n_reading += 1
        try:
            yield
        finally:
            self._n_reading -= 1
            if self._all_read is not None and not self._n_reading:
                self._all_read.set_result(None)
                self._all_read = None


def run(bundle: Bundle, model_metrics: ModelMetrics, samples: Sequence[Sample]) -> list[Prediction]:
    """One run of the model. Raises InferenceFailed."""
    batch = bundle.collate(samples)
    start = time.perf_counter()
    try:
        output = bundle.runtime.run(batch)
    except Exception as error:
        raise InferenceFailed("the model failed; the service's log says why") from error
    if not np.isfinite(output.probabilities).all():
        raise InferenceFailed("the model's answer is not a number")
    seconds = time.perf_counter() - start
    if Subset in map(type, samples):
        model_metrics.observe_run(len(samples), seconds)
        observe_whole(bundle, model_metrics, samples, output)
    else:
        model_metrics.observe_batch(batch, output, seconds)
    return predictions_of(output, batch.presence, bundle.manifest.class_names)


def observe_whole(
    bundle: Bundle, model_metrics: ModelMetrics, samples: Sequence[Sample], output: Output
) -> None:
    """Of a run with rows that explain others, only what is an answer to a caller's sample is counted."""
    whole = [at for at, sample in enumerate(samples) if type(sample) is not Subset]
    if whole:
        model_metrics.observe_answers(bundle.collate([samples[at] for at in whole]), output.take(whole))


def limit_to_small(bundle: Bundle) -> Bundle:
    """The same, but for larger pictures, which it refuses."""
    few = replace(bundle.limits, max_pixels=min(bundle.limits.max_pixels, INLINE_PIXELS))
    return replace(bundle, features=features_by_modality(bundle.manifest.modalities, few))

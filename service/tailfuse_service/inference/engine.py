"""The engine: answers samples with one bundle, from raw values to predictions. Independent of HTTP."""

import asyncio
import os
import threading
import time
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from threading import Lock
from typing import Any, Self, TypeVar

from tailfuse_service.bundle import Bundle, ClassPrior, PriorError, Sample, make_prior
from tailfuse_service.bundle.answer import Prediction
from tailfuse_service.bundle.prior import PRIORS, find_graph_shares
from tailfuse_service.errors import BatchTooLarge, ClientError, InvalidInput, Overloaded, TooManyPixels
from tailfuse_service.inference.backlog import Backlog
from tailfuse_service.inference.batcher import Batcher, make_deadline_error
from tailfuse_service.inference.caller import CALLER
from tailfuse_service.inference.explanations import Explained, Plan, make_explanations, make_plans
from tailfuse_service.inference.fair_threads import FairThreads
from tailfuse_service.inference.inline import INLINE_BYTES, limit_to_small
from tailfuse_service.inference.requested import add_prior
from tailfuse_service.inference.rows import limit_rows
from tailfuse_service.inference.run import run
from tailfuse_service.inference.shadow import ShadowRunner
from tailfuse_service.metrics import Metrics
from tailfuse_service.settings import Settings

T = TypeVar("T")

# Of a batch in a reader thread; then the other callers have their turns.
MAX_TURN_S = 0.02
BATCHES_DECODED = 4  # of each caller; more need not wait for a run, and take ten times what a file does
RUNS_ON_A_DEVICE = 2  # at once: one is copied while the device computes the other

Inputs = dict[str, Any]  # raw values by modality


class Engine:
    """A bundle with its own batcher, reader threads and metrics."""

    def __init__(self, bundle: Bundle, settings: Settings, metrics: Metrics) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self._inline_bundle = limit_to_small(bundle)
        self._timeout_s = settings.request_timeout_s
        sizes = limit_rows(bundle, settings)
        self._max_queue = sizes.queue
        self._max_rows = min(sizes.batch, sizes.queue)  # of explanations in the queue at once
        # The batcher does not refer to the engine: without a cycle, a bundle's memory is freed at once.
        self.model_metrics = metrics.serve(bundle)
        self._metrics = metrics
        self._decoded, self.encoded = metrics.decode.add, metrics.encode.add
        self._batcher: Batcher[Sample, Prediction] = Batcher(
            partial(run, bundle, self.model_metrics, Lock()),
            max_batch_size=sizes.batch,
            max_queue=sizes.queue,
            timeout_s=settings.request_timeout_s,
            waited=metrics.observe_queue,
            max_runs=1 if bundle.runtime.device == "cpu" else RUNS_ON_A_DEVICE,
        )
        self.shadow_runner: ShadowRunner | None = None  # sends the same samples to a shadow
        self._priors: dict[str, ClassPrior] = {}  # that requests have named
        pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8), thread_name_prefix="reader")
        self._backlog = Backlog(self._batcher, BATCHES_DECODED * sizes.batch)
        self._readers = FairThreads(pool, has_enough=self._backlog.is_full)
        self._batcher.taken = self._readers.resume
        self._n_reading = 0  # requests in reader threads, or being explained
        self._n_uses = 0  # blocks that keep the engine open
        self._all_ended: Future[None] | None = None  # set by close()

    def __len__(self) -> int:
        """Return the number of samples that wait for a run."""
        return len(self._batcher)

    @property
    def in_flight(self) -> int:
        """Number of accepted samples without an answer, and of requests that are being read."""
        return self._n_reading + self._batcher.in_flight

    def find_prior(self, name: str | None) -> ClassPrior | None:
        """Return the prior that a request names; None if it names none. Raises InvalidInput."""
        if name is None:
            return None
        prior = self._priors.get(name)
        if prior is None:
            try:
                prior = self._priors[name] = make_prior(self.manifest, name)
            except PriorError as error:
                raise InvalidInput(
                    str(error), parameter="prior", expected=list(PRIORS), received=f"{name:.40}"
                ) from None
        return prior

    def submit(self, inputs: Inputs, n_bytes: int, prior: ClassPrior | None = None) -> Future[Prediction]:
        """Return the future prediction of one sample; `n_bytes` is the length of its request.

        Raises ClientError, Overloaded or NotReady; the future may raise these, DeadlineExceeded or
        InferenceFailed. The caller must withdraw it when no client waits for it.
        """
        prediction: Future[Prediction] | None = None
        if n_bytes <= INLINE_BYTES:
            try:  # contextlib.suppress takes 0.2 us
                sample = self._sample(self._inline_bundle, inputs)
                prediction = self._batcher.submit(
                    sample if prior is None else add_prior(sample, prior), CALLER.get()
                )
            except TooManyPixels:
                prediction = None  # a few bytes can be an image of many pixels
        if prediction is None:
            prediction = asyncio.get_running_loop().create_task(self._read_and_submit(inputs, prior))
        if self.shadow_runner is not None and prior is None:  # a shadow answers under its own prior
            self.shadow_runner.watch(inputs, prediction)
        return prediction

    def explain(self, inputs: Inputs, prior: ClassPrior | None = None) -> Future[Explained]:
        """Return the future prediction of one sample with its explanation. Raises as `submit`."""
        return asyncio.get_running_loop().create_task(self._explain(inputs, prior))

    def withdraw(self, future: Future[Any]) -> None:
        """Cancel a prediction, because its client is gone."""
        self._batcher.withdraw([future])

    async def predict_all(
        self, items: Sequence[Inputs | ClientError], prior: ClassPrior | None = None
    ) -> list[Prediction | BaseException]:
        """Return a prediction or an error for each item; errors among the items are passed through.

        Raises Overloaded, NotReady or DeadlineExceeded for all of them.
        """
        if len(items) > self._max_queue:
            raise BatchTooLarge(
                f"{len(items)} items; this service has memory for {self._max_queue} rows of this model",
                expected=self._max_queue, received=len(items),
            )  # fmt: skip
        async with self._limit_time():
            with given_up() as is_given_up:
                self._check_room()
                with self._count_reading():
                    samples = await self._decode(items, is_given_up)
            rows = [add_prior(each, prior) for each in samples if not isinstance(each, Exception)]
            answers = iter(await self._gather(self._submit_decoded(rows)))
        predictions = [sample if isinstance(sample, Exception) else next(answers) for sample in samples]
        if self.shadow_runner is not None and prior is None:
            self.shadow_runner.watch_all(items, predictions)
        return predictions

    async def explain_all(
        self, items: Sequence[Inputs | ClientError], prior: ClassPrior | None = None
    ) -> list[Explained | BaseException]:
        """As `predict_all`, with explanations. Each sample is decoded only once."""
        self._check_room()
        async with self._limit_time():
            with self._count_reading(), given_up() as is_given_up:
                samples = await self._decode(items, is_given_up)
                plans = await self._in_thread(make_plans, samples, self.manifest.modalities, prior)
                rows = [row for plan in plans if isinstance(plan, Plan) for row in plan.rows()]
                answers = await self._in_pieces(rows)
                used = prior or self.bundle.prior
                shares = find_graph_shares(self.manifest) if used is None else used.shares
                results = await self._in_thread(make_explanations, plans, answers, shares)
        if self.shadow_runner is not None and prior is None:
            predictions = [each.prediction if isinstance(each, Explained) else each for each in results]
            self.shadow_runner.watch_all(items, predictions)
        return results

    @contextmanager
    def keep_open(self) -> Iterator[Self]:
        """Keep the engine from closing until the block ends.

        The registry may replace the engine while a request awaits something. So a request enters the block
        as soon as it has found its engine, and leaves it with its prediction.
        """
        self._n_uses += 1
        try:
            yield self
        finally:
            self._n_uses -= 1
            if self._all_ended is not None and not self._n_uses:
                self._all_ended.set_result(None)
                self._all_ended = None

    async def close(self) -> None:
        """Answer the accepted requests and samples, and reject new samples."""
        if self._n_uses:
            self._all_ended = asyncio.get_running_loop().create_future()
            await self._all_ended
        await self._batcher.close()
        self._metrics.close(self.model_metrics)
        self._readers.shutdown(wait=False, cancel_futures=True)  # they only read for clients that are gone

    async def _read_and_submit(self, inputs: Inputs, prior: ClassPrior | None) -> Prediction:
        async with self._limit_time():
            self._check_room()
            with self._count_reading():
                sample = await self._in_thread(self._sample, self.bundle, inputs)
            [future] = self._submit_decoded([add_prior(sample, prior)])
            try:
                return await future
            finally:
                self._batcher.withdraw([future])

    async def _explain(self, inputs: Inputs, prior: ClassPrior | None) -> Explained:
        (result,) = await self.explain_all([inputs], prior)
        if isinstance(result, BaseException):
            raise result
        return result

    async def _in_pieces(self, rows: Sequence[Sample]) -> list[Prediction | BaseException]:
        """Return an answer for each row. At most one batch waits at once; others come in between."""
        answers: list[Prediction | BaseException] = []
        for start in range(0, len(rows), self._max_rows):
            answers += await self._gather(self._submit_decoded(rows[start : start + self._max_rows]))
        return answers

    def _submit_decoded(self, rows: Sequence[Sample]) -> list[Future[Prediction]]:
        """Return the future predictions of samples from reader threads. Raises Overloaded, NotReady."""
        caller = CALLER.get()
        futures = self._batcher.submit_all(rows, caller)
        self._backlog.add(caller, futures)
        return futures

    async def _gather(self, futures: Sequence[Future[Prediction]]) -> list[Prediction | BaseException]:
        """Return an answer for each row of a request. Raises Overloaded if some have been refused."""
        try:
            answers = await asyncio.gather(*futures, return_exceptions=True)
        finally:
            self._batcher.withdraw(futures)
        for each in answers:
            if isinstance(each, Overloaded):
                raise each
        return answers

    async def _decode(
        self, items: Sequence[Inputs | ClientError], is_given_up: threading.Event
    ) -> list[Sample | Exception]:
        """Return a sample or an error for each item. Other callers have their turns in between."""
        samples: list[Sample | Exception] = []
        while len(samples) < len(items):
            samples += await self._in_thread(self._samples, items[len(samples) :], is_given_up)
        return samples

    def _sample(self, bundle: Bundle, inputs: Inputs) -> Sample:
        """Raises ClientError."""
        start = time.perf_counter()
        try:
            sample = bundle.sample(inputs)
        except ClientError as error:
            if bundle is self.bundle or not isinstance(error, TooManyPixels):  # else a reader tries again
                self.model_metrics.count_failure(error.members.get("modality"))
            raise
        self._decoded(time.perf_counter() - start)
        return sample

    def _samples(
        self, items: Sequence[Inputs | ClientError], is_given_up: threading.Event
    ) -> list[Sample | Exception]:
        """Return a sample or an error for each item, whatever it raises; the other items are not affected.

        Stop between two items after MAX_TURN_S, or once nobody waits for them.
        """
        samples: list[Sample | Exception] = []
        end = time.perf_counter() + MAX_TURN_S
        for item in items:
            if is_given_up.is_set() or (samples and time.perf_counter() > end):
                break
            try:
                samples.append(item if isinstance(item, ClientError) else self._sample(self.bundle, item))
            except Exception as error:
                samples.append(error)
        return samples

    @asynccontextmanager
    async def _limit_time(self) -> AsyncIterator[None]:
        """Raise DeadlineExceeded if the block takes too long."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise make_deadline_error(self._timeout_s) from None

    def _in_thread(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        return self._readers.run(CALLER.get(), call, *arguments)

    def _check_room(self) -> None:
        """Raise Overloaded if too many requests wait, and another caller does not have the most of them."""
        if self._n_reading + len(self._batcher) < self._max_queue:
            return
        caller = CALLER.get()
        if not self._readers.make_room(caller):
            self._batcher.make_room(self._n_reading + 1, caller)

    @contextmanager
    def _count_reading(self) -> Iterator[None]:
        """Count a request as being read, and keep the engine open, until the block ends."""
        self._n_reading += 1
        try:
            with self.keep_open():
                yield
        finally:
            self._n_reading -= 1


@contextmanager
def given_up() -> Iterator[threading.Event]:
    """Return an event that is set at the end of the block: nobody waits for a thread's work any more."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()

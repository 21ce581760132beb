"""The shadow: a version that gets the stable version's samples, and whose answers are only compared.

Nobody waits for it: it is asked after the answer is out, in a thread that the system runs when nothing else
wants to. Where that is not often enough, samples are dropped, and counted as dropped.
"""

import asyncio
import os
import random
import sys
import threading
import time
from asyncio import Future
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from tailfuse_service.bundle import Bundle, Prediction, Sample
from tailfuse_service.errors import ClientError
from tailfuse_service.logs import LOG
from tailfuse_service.metrics import ModelMetrics
from tailfuse_service.metrics.comparison import Comparison

GATHER_S = 0.05  # samples that arrive within this time share a run
REST_FACTOR = 9  # pause after a run, in run durations: a run holds the interpreter lock
MAX_WAITING_SAMPLES, MAX_WAITING_BYTES, MAX_RUN_SAMPLES = 512, 64 * 1024 * 1024, 16
LOWEST_PRIORITY = 19
NUMBERS = frozenset((int, float, bool, type(None)))
NUMBER_BYTES = 32  # of an integer of 64 bits; other numbers take less


class WaitingSample(NamedTuple):
    """A sample with the stable version's answer."""

    inputs: dict[str, Any]
    subset: str
    label: str
    n_bytes: int


class ShadowRunner:
    """Runs a shadow on a share of the samples. `modalities` are those of the stable version."""

    def __init__(
        self,
        bundle: Bundle,
        model_metrics: ModelMetrics,
        comparison: Comparison,
        *,
        share: float,
        modalities: Sequence[str],
    ) -> None:
        self._bundle = bundle
        self._model_metrics = model_metrics
        self._comparison = comparison
        self._share = share
        self._modalities = tuple(modalities)
        self._subsets: dict[tuple[bool, ...], str] = {}  # names by presence
        self._waiting: deque[WaitingSample] = deque()
        self._n_bytes = 0  # of them
        self._busy = False
        self._running: Future[None] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow", initializer=lower_priority)

    # --- on the event loop ---

    def matches(self, bundle: Bundle, share: float) -> bool:
        """Return whether this runner has the same bundle and share."""
        return self._bundle is bundle and self._share == share

    def watch(self, inputs: dict[str, Any], prediction: Future[Prediction]) -> None:
        """Queue the sample for the shadow once it is answered, if it is in the share."""
        if random.random() < self._share:
            prediction.add_done_callback(partial(self._answered, inputs))

    def _answered(self, inputs: dict[str, Any], prediction: Future[Prediction]) -> None:
        if not prediction.cancelled() and prediction.exception() is None:
            # After the answer is sent.
            asyncio.get_running_loop().call_soon(self._enqueue, inputs, prediction.result())

    def watch_all(self, items: Sequence[Any], predictions: Sequence[Prediction | BaseException]) -> None:
        """Queue the samples of an answered batch; errors are left out."""
        for inputs, prediction in zip(items, predictions, strict=True):
            if isinstance(prediction, Prediction) and random.random() < self._share:
                self._enqueue(inputs, prediction)

    def _enqueue(self, inputs: dict[str, Any], answer: Prediction) -> None:
        if self._closed:
            return
        subset = self._subset(answer)
        if len(self._waiting) >= MAX_WAITING_SAMPLES:
            self._comparison.count_outcome(subset, "dropped")
            return
        n_bytes = estimate_size(inputs)
        if self._n_bytes + n_bytes > MAX_WAITING_BYTES:
            self._comparison.count_outcome(subset, "dropped")
            return
        self._waiting.append(WaitingSample(copy_arrays(inputs), subset, answer.labels[0], n_bytes))
        self._n_bytes += n_bytes
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_later(GATHER_S, self._next)

    def _subset(self, answer: Prediction) -> str:
        presence = tuple(answer.presence)
        name = self._subsets.get(presence)
        if name is None:
            here = zip(self._modalities, presence, strict=True)
            name = self._subsets[presence] = "+".join(each for each, present in here if present)
        return name

    def _next(self) -> None:
        """Run the shadow on the next batch, if there is one."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_RUN_SAMPLES))]
        self._n_bytes -= sum(each.n_bytes for each in batch)
        if batch:
            self._running = asyncio.get_running_loop().run_in_executor(self._thread, self._compare, batch)
            self._running.add_done_callback(partial(self._rest, time.perf_counter()))
        else:
            self._busy = False

    def _rest(self, begun: float, _: Future[None]) -> None:
        asyncio.get_running_loop().call_later(REST_FACTOR * (time.perf_counter() - begun), self._next)

    async def close(self) -> None:
        """Drop the queue; finish the present run."""
        self._closed = True
        for each in self._waiting:
            self._comparison.count_outcome(each.subset, "dropped")
        self._waiting.clear()
        self._n_bytes = 0
        if self._running is not None:
            await self._running
        self._thread.shutdown(wait=False)

    # --- in the shadow's thread ---

    def _compare(self, batch: Sequence[WaitingSample]) -> None:
        """Run a batch, and count agreement and disagreement. Never raises."""
        labels: list[str | None] = [None] * len(batch)
        try:
            labels = self._labels(batch)
        except Exception as error:
            LOG.error("the shadow failed", extra={"version": self._bundle.manifest.version}, exc_info=error)
        for each, label in zip(batch, labels, strict=True):
            if label is None:
                self._comparison.count_outcome(each.subset, "failed")
            else:
                self._comparison.count(each.subset, each.label, label)

    def _labels(self, batch: Sequence[WaitingSample]) -> list[str | None]:
        """Return the shadow's label for each sample; None if it cannot decode it."""
        samples = [self._sample(each.inputs) for each in batch]
        readable = [sample for sample in samples if sample is not None]
        if not readable:
            return [None] * len(batch)
        collated = self._bundle.collate(readable)
        output = self._bundle.answer(collated)
        self._model_metrics.observe_answers(collated, output)
        names = self._bundle.manifest.class_names
        best = output.probabilities.argmax(axis=1).tolist()
        sums = output.probabilities.sum(axis=1).tolist()
        labels = iter([names[at] if isfinite(total) else None for at, total in zip(best, sums, strict=True)])
        return [None if sample is None else next(labels) for sample in samples]

    def _sample(self, inputs: dict[str, Any]) -> Sample | None:
        try:
            return self._bundle.sample(inputs)
        except ClientError:
            return None


def lower_priority() -> None:
    """Give the present thread the lowest priority."""
    if sys.platform == "linux":  # only there can a single thread have a priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)


def copy_arrays(inputs: dict[str, Any]) -> dict[str, Any]:
    """Copy the arrays: each is a row of a request's tensor, and would keep all rows in memory."""
    return {name: each.copy() if isinstance(each, np.ndarray) else each for name, each in inputs.items()}


def estimate_size(value: Any) -> int:
    """Estimate the memory of a raw value in bytes, with all values in it."""
    if isinstance(value, np.ndarray | memoryview):
        return value.nbytes
    n_bytes = sys.getsizeof(value)  # of a string it depends on its widest character
    if isinstance(value, dict):
        return n_bytes + sum(map(estimate_size, value.values()))
    if isinstance(value, list | tuple):
        return n_bytes + estimate_items(value)
    return n_bytes


def estimate_items(items: Sequence[Any]) -> int:
    """Estimate the memory of a list's items in bytes.

    A series is a list of numbers, or of lists of numbers. A call for each of them would hold up the event
    loop.
    """
    kinds = set(map(type, items))
    if kinds <= NUMBERS:
        return NUMBER_BYTES * len(items)
    if kinds == {list}:
        return sum(map(sys.getsizeof, items)) + estimate_items(list(chain.from_iterable(items)))
    return sum(map(estimate_size, items))

"""A version that is asked what the stable one has been asked, and answers nobody.

Nobody waits for it: it is asked after the answer is out, in a thread that the system runs when nothing else
wants to. Where that is not often enough, samples are dropped, and counted as dropped.
"""

import asyncio
import os
import random
import sys
import threading
from asyncio import Future
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from service.bundle import Bundle, Prediction, Sample
from service.errors import ClientError
from service.logs import LOG
from service.metrics import Series
from service.metrics.comparison import Comparison

PAUSE_S = 0.05  # in which samples gather for one run
MOST_SAMPLES, MOST_BYTES, MOST_IN_A_RUN = 512, 64 * 1024 * 1024, 64
LEAST_PRIORITY = 19


class Answered(NamedTuple):
    """What was asked, and the stable version's answer."""

    inputs: dict[str, Any]
    subset: str
    label: str
    n_bytes: int


class Shadowing:
    """A shadow at work, a share of the stable version's samples; these have some of `modalities`."""

    def __init__(
        self,
        bundle: Bundle,
        series: Series,
        comparison: Comparison,
        *,
        share: float,
        modalities: Sequence[str],
    ) -> None:
        self._bundle = bundle
        self._series = series
        self._comparison = comparison
        self._share = share
        self._modalities = tuple(modalities)
        self._waiting: deque[Answered] = deque()
        self._n_bytes = 0  # of them
        self._busy = False
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow", initializer=give_way)

    # --- on the event loop ---

    def watch(self, inputs: dict[str, Any], prediction: Future[Prediction]) -> None:
        """Once the answer is there, ask the shadow too; if this is one of the share."""
        if random.random() < self._share:
            prediction.add_done_callback(partial(self._answered, inputs))

    def _answered(self, inputs: dict[str, Any], prediction: Future[Prediction]) -> None:
        if not prediction.cancelled() and prediction.exception() is None:
            self._take(inputs, prediction.result())

    def watch_all(self, items: Sequence[Any], predictions: Sequence[Prediction | BaseException]) -> None:
        """The same for a batch that has been answered; what is no prediction is left out."""
        for inputs, prediction in zip(items, predictions, strict=True):
            if isinstance(prediction, Prediction) and random.random() < self._share:
                self._take(inputs, prediction)

    def _take(self, inputs: dict[str, Any], answer: Prediction) -> None:
        if self._closed:
            return
        here = zip(self._modalities, answer.presence, strict=True)
        subset = "+".join(name for name, present in here if present)
        asked = Answered(inputs, subset, answer.labels[0], sum(map(size_of, inputs.values())))
        if len(self._waiting) >= MOST_SAMPLES or self._n_bytes + asked.n_bytes > MOST_BYTES:
            self._comparison.count_outcome(subset, "dropped")
            return
        self._waiting.append(asked)
        self._n_bytes += asked.n_bytes
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_later(PAUSE_S, self._next)

    def _next(self) -> None:
        """Ask the shadow as much as one run takes, or rest."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_A_RUN))]
        self._n_bytes -= sum(each.n_bytes for each in batch)
        if batch:
            running = asyncio.get_running_loop().run_in_executor(self._thread, self._compare, batch)
            running.add_done_callback(lambda _: self._next())
        else:
            self._busy = False

    def close(self) -> None:
        """Nothing more is asked."""
        self._closed = True
        self._waiting.clear()
        self._n_bytes = 0
        self._thread.shutdown(wait=False)

    # --- in the shadow's thread ---

    def _compare(self, batch: Sequence[Answered]) -> None:
        """Answer a batch, and count where the labels are not the same. Never raises."""
        asked, samples = [], []
        for each in batch:
            try:
                samples.append(self._bundle.sample(each.inputs))
                asked.append(each)
            except ClientError:  # the shadow has no such column, say
                self._comparison.count_outcome(each.subset, "failed")
        if not samples:
            return
        try:
            labels = self._answer(samples)
        except Exception as error:
            LOG.error("the shadow failed", extra={"version": self._bundle.manifest.version}, exc_info=error)
            for each in asked:
                self._comparison.count_outcome(each.subset, "failed")
            return
        for each, label in zip(asked, labels, strict=True):
            self._comparison.count(each.subset, each.label, label)

    def _answer(self, samples: Sequence[Sample]) -> list[str]:
        batch = self._bundle.collate(samples)
        output = self._bundle.runtime.run(batch)
        self._series.observe_answers(batch, output)
        names = self._bundle.manifest.class_names
        return [names[at] for at in output.probabilities.argmax(axis=1).tolist()]


def give_way() -> None:
    """Have the present thread run when nothing else wants to."""
    if sys.platform == "linux":  # where a priority may be a single thread's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LEAST_PRIORITY)


def size_of(value: Any) -> int:
    """About how many bytes a raw value keeps in memory."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        return len(value)
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, list):
        return len(value) * (size_of(value[0]) if value else 0)
    return 32

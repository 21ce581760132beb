"""What every peer does with a request: the service's own decoding and runtime, and its own answer.

So that what differs is the server: HTTP, JSON, queues, batching and processes.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

from tailfuse_service.bundle import Bundle, Sample, answer_of, open_bundle, predictions_of

MAX_BATCH_SIZE = 64  # the service's default

Answer = dict[str, Any]


def bundle_to_serve() -> Bundle:
    """The bundle in the folder that BENCH_BUNDLE names."""
    return open_bundle(Path(os.environ["BENCH_BUNDLE"]))


def answers_of(bundle: Bundle, samples: Sequence[Sample]) -> list[Answer]:
    """One answer per sample, in runs of at most MAX_BATCH_SIZE."""
    answers: list[Answer] = []
    for start in range(0, len(samples), MAX_BATCH_SIZE):
        batch = bundle.collate(samples[start : start + MAX_BATCH_SIZE])
        output = bundle.runtime.run(batch)
        predictions = predictions_of(output, batch.presence, bundle.manifest.class_names)
        answers += [answer_of(each, bundle.manifest, request_id=token_hex(8)) for each in predictions]
    return answers


def answers_by_request(bundle: Bundle, requests: Sequence[Sequence[Sample]]) -> list[list[Answer]]:
    """The answers of several requests' samples, all run together."""
    answers = iter(answers_of(bundle, [sample for request in requests for sample in request]))
    return [[next(answers) for _ in request] for request in requests]

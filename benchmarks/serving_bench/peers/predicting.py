"""Prediction code of all peers: the service's decoding, runtime and answers.

Peers differ in the server only: HTTP, JSON, queues, batching and processes.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

from tailfuse_service.bundle import Bundle, Sample, format_answer, make_predictions, open_bundle

MAX_BATCH_SIZE = 64  # the service's default

Answer = dict[str, Any]


def load_bundle() -> Bundle:
    """Open the bundle that BENCH_BUNDLE names."""
    return open_bundle(Path(os.environ["BENCH_BUNDLE"]))


def predict_samples(bundle: Bundle, samples: Sequence[Sample]) -> list[Answer]:
    """Predict the samples in batches of at most MAX_BATCH_SIZE."""
    answers: list[Answer] = []
    for start in range(0, len(samples), MAX_BATCH_SIZE):
        batch = bundle.collate(samples[start : start + MAX_BATCH_SIZE])
        output = bundle.runtime.run(batch)
        predictions = make_predictions(output, batch.presence, bundle.manifest.class_names)
        answers += [format_answer(each, bundle.manifest, request_id=token_hex(8)) for each in predictions]
    return answers


def predict_requests(bundle: Bundle, requests: Sequence[Sequence[Sample]]) -> list[list[Answer]]:
    """Predict the samples of several requests as one batch."""
    answers = iter(predict_samples(bundle, [sample for request in requests for sample in request]))
    return [[next(answers) for _ in request] for request in requests]

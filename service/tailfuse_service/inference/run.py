"""One run of a model: samples become a batch, and its output one prediction each."""

import time
from collections.abc import Sequence
from threading import Lock

import numpy as np

from tailfuse_service.bundle import Bundle, Output, Sample
from tailfuse_service.bundle.answer import Prediction, make_predictions
from tailfuse_service.errors import InferenceFailed
from tailfuse_service.inference.requested import Subset, apply_priors
from tailfuse_service.metrics import ModelMetrics


def run(
    bundle: Bundle, model_metrics: ModelMetrics, counting: Lock, samples: Sequence[Sample]
) -> list[Prediction]:
    """Run the model once. `counting` is held while metrics are counted. Raises InferenceFailed."""
    batch = bundle.collate(samples)
    start = time.perf_counter()
    try:
        output = bundle.runtime.run(batch)
    except Exception as error:
        raise InferenceFailed("the model failed; see the service's log") from error
    if not np.isfinite(output.probabilities).all():
        raise InferenceFailed("the model's answer is not a number")
    seconds = time.perf_counter() - start
    kinds = set(map(type, samples))
    if bundle.prior is not None or kinds != {dict}:
        output = apply_priors(output, samples, bundle)
    with counting:
        if Subset in kinds:
            model_metrics.observe_run(len(samples), seconds)
            observe_whole(bundle, model_metrics, samples, output)
        else:
            model_metrics.observe_batch(batch, output, seconds)
    return make_predictions(output, batch.presence, bundle.manifest.class_names)


def observe_whole(
    bundle: Bundle, model_metrics: ModelMetrics, samples: Sequence[Sample], output: Output
) -> None:
    """Count only the rows that answer a client's sample, not those that explain another row."""
    whole = [at for at, sample in enumerate(samples) if type(sample) is not Subset]
    if whole:
        model_metrics.observe_answers(bundle.collate([samples[at] for at in whole]), output.take(whole))

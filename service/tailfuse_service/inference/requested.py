"""Samples that are answered in another way than the service's default: under another prior, or uncounted.

The samples of plain requests are plain dictionaries, and a batch of these alone costs nothing here.

Letters: B samples, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle import Bundle, ClassPrior, Output, Sample, apply_prior


class RequestedSample(dict[str, NDArray[Any]]):
    """A sample whose request names a prior; None is the service's."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prior: ClassPrior | None) -> None:
        super().__init__(arrays)
        self.prior = prior


class Subset(RequestedSample):
    """A subset of a sample's modalities. It is run to explain an answer, and not counted as a sample."""


def add_prior(sample: Sample, prior: ClassPrior | None) -> Sample:
    """Return the sample with the prior that its request names."""
    return sample if prior is None else RequestedSample(sample, prior)


def apply_priors(output: Output, samples: Sequence[Sample], bundle: Bundle) -> Output:
    """Return the output under the prior that each sample's request names, or else under the service's."""
    named = [sample.prior if isinstance(sample, RequestedSample) else None for sample in samples]
    if not any(named):
        return output if bundle.prior is None else apply_prior(output, bundle.prior.factors)
    priors = [prior or bundle.prior for prior in named]
    factors = np.ones(output.probabilities.shape)
    for row, prior in zip(factors, priors, strict=True):
        if prior is not None and prior.factors is not None:
            row[:] = prior.factors
    # Rows whose factors are 1 are not divided by their sum: they stay as the graph has answered them.
    changed = (factors != 1).any(axis=1)[:, None]
    weighted = apply_prior(output, factors).probabilities
    return replace(output, probabilities=np.where(changed, weighted, output.probabilities))

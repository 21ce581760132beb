"""Train methods of any kind; all of them become a TrainedMethod."""

import io
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.modalities.text.bert import SentenceBert
from tailfuse.modalities.text.encoder import ProjectedTexts, find_ngram_buckets, find_projection
from tailfuse.modalities.text.lsa import LsaProjection
from tailfuse.network.build import AnyNetwork, build_encoders
from tailfuse.network.frozen import add_frozen_features, compute_backbone_features
from tailfuse.network.tensors import make_output, make_tensors
from tailfuse.spec.schema import Spec
from tailfuse.training.fit import calibrate_network, train_stages
from tailfuse_service.bundle import Batch, Output
from torch import nn

from tailfuse_bench.classifiers import ColumnClassifiers, fit_classifiers
from tailfuse_bench.expert_weights import weigh_experts
from tailfuse_bench.late_classifiers import LateClassifiers, fit_late_classifiers
from tailfuse_bench.methods import LATE_LOGISTIC, MOGONET, SADE_MM_WEIGHED
from tailfuse_bench.mogonet import Mogonet, fit_mogonet


@dataclass(frozen=True, slots=True)
class TrainedMethod:
    """`run` predicts a batch; `prepare` replaces rows by the features of frozen encoders before it.

    `seconds` is the CPU time of training without the features of frozen encoders; `size_bytes` is the size on
    disk without those encoders.
    """

    run: Callable[[Batch], Output]
    prepare: Callable[[SplitArrays], SplitArrays]
    parameters: int | None
    seconds: float
    size_bytes: int


def train_networks(specs: Mapping[str, Spec], dataset: Dataset) -> Iterator[tuple[str, TrainedMethod]]:
    """Train one network per spec, by name. The specs differ only in what the calibration set fits."""
    shared_spec = next(iter(specs.values()))
    add_frozen_features(dataset, build_encoders(shared_spec, dataset))  # fills the cache of features
    begun = time.process_time()
    stages = train_stages(shared_spec, dataset)
    shared = time.process_time() - begun
    for name, spec in specs.items():
        begun = time.process_time()
        network = calibrate_network(stages, spec)
        prepare = make_preparation(map_encoders(network))
        if name == SADE_MM_WEIGHED:
            network = weigh_experts(network, prepare(dataset.test), spec.seed)
        seconds = shared + time.process_time() - begun
        parameters = sum(each.numel() for each in network.parameters())
        yield (
            name,
            TrainedMethod(
                partial(predict_batch, network), prepare, parameters, seconds, measure_weights(network)
            ),
        )


def train_columns(method: str, spec: Spec, dataset: Dataset) -> TrainedMethod:
    """Train a baseline without a network of a spec, on the features of frozen encoders."""
    encoders = build_encoders(spec, dataset)
    dataset = add_frozen_features(dataset, encoders)
    begun = time.process_time()
    fitted: LateClassifiers | ColumnClassifiers | Mogonet
    if method == LATE_LOGISTIC:
        fitted = fit_late_classifiers(dataset)
    elif method == MOGONET:
        fitted = fit_mogonet(dataset, spec.seed)
    else:
        fitted = fit_classifiers(method, dataset)
    return TrainedMethod(
        fitted,
        make_preparation(encoders, texts=True),
        fitted.parameters,
        time.process_time() - begun,
        len(pickle.dumps(fitted)),
    )


def find_frozen(encoders: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Return the modalities whose rows are features of a frozen encoder."""
    return tuple(
        name
        for name, each in encoders.items()
        if isinstance(each, ProjectedTexts) or is_frozen_backbone(each)
    )


def is_frozen_backbone(encoder: nn.Module) -> bool:
    """Return whether an encoder is a pretrained one of images that is not trained."""
    return isinstance(encoder, Pretrained) and encoder.trained == "none"


def measure_weights(network: AnyNetwork) -> int:
    """Return the bytes of a file of the network's weights, without those of frozen encoders."""
    frozen = tuple(
        f"{name}.backbone." if is_frozen_backbone(each) else f"{name}."
        for name, each in network.named_modules()
        if is_frozen_backbone(each) or isinstance(each, LsaProjection | SentenceBert)
    )
    weights = {key: each for key, each in network.state_dict().items() if not key.startswith(frozen)}
    file = io.BytesIO()
    torch.save(weights, file)
    return len(file.getvalue())


@torch.inference_mode()
def predict_batch(network: AnyNetwork, batch: Batch) -> Output:
    """Predict with the network, without an exported graph."""
    return make_output(network(*make_tensors(batch)))


def map_encoders(network: AnyNetwork) -> dict[str, nn.Module]:
    """Map the names of the modalities to their encoders."""
    return dict(zip(network.modalities, network.encoders, strict=True))


def make_preparation(
    encoders: Mapping[str, nn.Module], *, texts: bool = False
) -> Callable[[SplitArrays], SplitArrays]:
    """Return a function that replaces rows by features where the encoder is frozen, those of `lsa` if asked.

    A network takes the texts of `lsa` as they are: it counts their known words.
    """
    frozen = {
        name: encoders[name]
        for name in find_frozen(encoders)
        if texts or find_ngram_buckets(encoders[name]) is None
    }
    return partial(replace_rows, frozen)


def replace_rows(encoders: Mapping[str, nn.Module], part: SplitArrays) -> SplitArrays:
    """Return a copy with the features of frozen encoders in place of the rows that they encode."""
    features = {name: compute_features(encoder, part.inputs[name]) for name, encoder in encoders.items()}
    return replace(part, inputs=part.inputs | features)


@torch.inference_mode()
def compute_features(encoder: nn.Module, rows: NDArray[Any]) -> NDArray[np.float32]:
    """Compute features of images or texts; those of images may be cached: (n, ...) -> (n, F)"""
    if (projection := find_projection(encoder)) is not None:
        return projection.compute_features(rows)
    assert isinstance(encoder, Pretrained)
    raw = compute_backbone_features(encoder.backbone, rows)
    scaled: NDArray[np.float32] = encoder.scale(torch.from_numpy(raw)).numpy()
    return scaled

"""Train methods of any kind; all of them become a TrainedMethod."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.network.build import AnyNetwork, build_encoders
from tailfuse.network.frozen import add_frozen_features, compute_backbone_features
from tailfuse.network.tensors import make_output, make_tensors
from tailfuse.spec.schema import Spec
from tailfuse.training.fit import calibrate_network, train_stages
from tailfuse_service.bundle import Batch, Output
from torch import nn

from tailfuse_bench.classifiers import fit_classifiers
from tailfuse_bench.expert_weights import weigh_experts
from tailfuse_bench.late_classifiers import fit_late_classifiers
from tailfuse_bench.methods import LATE_LOGISTIC, SADE_MM_WEIGHED


@dataclass(frozen=True, slots=True)
class TrainedMethod:
    """`run` predicts a batch; `prepare` replaces images by the features of frozen encoders before it.

    `seconds` is the CPU time of training without the features of frozen encoders.
    """

    run: Callable[[Batch], Output]
    prepare: Callable[[SplitArrays], SplitArrays]
    parameters: int | None
    seconds: float


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
            TrainedMethod(partial(predict_batch, network), prepare, parameters, seconds),
        )


def train_columns(method: str, spec: Spec, dataset: Dataset) -> TrainedMethod:
    """Train a baseline without a network, on the features of frozen encoders."""
    encoders = build_encoders(spec, dataset)
    dataset = add_frozen_features(dataset, encoders)
    begun = time.process_time()
    late = method == LATE_LOGISTIC
    fitted = fit_late_classifiers(dataset) if late else fit_classifiers(method, dataset)
    return TrainedMethod(fitted, make_preparation(encoders), fitted.parameters, time.process_time() - begun)


@torch.inference_mode()
def predict_batch(network: AnyNetwork, batch: Batch) -> Output:
    """Predict with the network, without an exported graph."""
    return make_output(network(*make_tensors(batch)))


def map_encoders(network: AnyNetwork) -> dict[str, nn.Module]:
    """Map the names of the modalities to their encoders."""
    return dict(zip(network.modalities, network.encoders, strict=True))


def make_preparation(encoders: Mapping[str, nn.Module]) -> Callable[[SplitArrays], SplitArrays]:
    """Return a function that replaces images by features where the encoder is frozen."""
    frozen = {
        name: each
        for name, each in encoders.items()
        if isinstance(each, Pretrained) and each.trained == "none"
    }
    return partial(replace_images, frozen)


def replace_images(encoders: Mapping[str, Pretrained], part: SplitArrays) -> SplitArrays:
    """Return a copy with the encoders' features in place of images, computed or from the cache."""
    features = {
        name: encoder.scale(
            torch.from_numpy(compute_backbone_features(encoder.backbone, part.inputs[name]))
        ).numpy()
        for name, encoder in encoders.items()
    }
    return replace(part, inputs=part.inputs | features)

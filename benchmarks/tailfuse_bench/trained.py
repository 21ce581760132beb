"""Methods, trained: something to run, whatever it is."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from tailfuse.data.part import Dataset, Part
from tailfuse.network.build import AnyNetwork, build_encoders
from tailfuse.network.encoders.pretrained import Pretrained
from tailfuse.network.frozen import backbone_features, with_features
from tailfuse.network.tensors import output_of, tensors_of
from tailfuse.spec.schema import Spec
from tailfuse.training.fit import fit_held_out, train_stages
from tailfuse_service.bundle import Batch, Output
from torch import nn

from tailfuse_bench.columns import fit_columns


@dataclass(frozen=True, slots=True)
class Trained:
    """`run` answers a batch, after `prepared` has made features of the pictures of frozen encoders.

    `seconds` are those of a processor, for training; without the frozen encoders' features.
    """

    run: Callable[[Batch], Output]
    prepared: Callable[[Part], Part]
    parameters: int | None
    seconds: float


def train_networks(specs: Mapping[str, Spec], dataset: Dataset) -> Iterator[tuple[str, Trained]]:
    """A network for each spec, by name; the specs differ only in what is fitted on held-out rows."""
    first = next(iter(specs.values()))
    with_features(dataset, build_encoders(first, dataset))  # from now on they are in the cache
    begun = time.process_time()
    stages = train_stages(first, dataset)
    shared = time.process_time() - begun
    for name, spec in specs.items():
        begun = time.process_time()
        network = fit_held_out(stages, spec)
        seconds = shared + time.process_time() - begun
        parameters = sum(each.numel() for each in network.parameters())
        yield name, Trained(partial(answer, network), preparing(encoders_of(network)), parameters, seconds)


def train_columns(method: str, spec: Spec, dataset: Dataset) -> Trained:
    """One of the classifiers that are no networks, on what frozen encoders make of pictures."""
    encoders = build_encoders(spec, dataset)
    dataset = with_features(dataset, encoders)
    begun = time.process_time()
    fitted = fit_columns(method, dataset)
    return Trained(fitted, preparing(encoders), fitted.parameters, time.process_time() - begun)


@torch.inference_mode()
def answer(network: AnyNetwork, batch: Batch) -> Output:
    """What the network itself answers."""
    return output_of(network(*tensors_of(batch)))


def encoders_of(network: AnyNetwork) -> dict[str, nn.Module]:
    return dict(zip(network.modalities, network.encoders, strict=True))


def preparing(encoders: Mapping[str, nn.Module]) -> Callable[[Part], Part]:
    """Puts features in the place of pictures, where the encoder is frozen."""
    frozen = {
        name: each
        for name, each in encoders.items()
        if isinstance(each, Pretrained) and each.trained == "none"
    }
    return partial(with_part_features, frozen)


def with_part_features(encoders: Mapping[str, Pretrained], part: Part) -> Part:
    """The part with what these encoders make of its pictures, computed or from the cache."""
    features = {
        name: encoder.scale(torch.from_numpy(backbone_features(encoder.backbone, part.inputs[name]))).numpy()
        for name, encoder in encoders.items()
    }
    return replace(part, inputs=part.inputs | features)

"""Train a network on a table in memory, and answer with it before there is a bundle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from tailfuse_service.bundle import Batch, Bundle, Output, features_by_modality
from tailfuse_service.bundle.bundle import choose_prior

from tailfuse.api.model import Model
from tailfuse.api.trackers import Trackers, check_trackers
from tailfuse.data.dataset import build_dataset
from tailfuse.data.read_rows import TABLE_LIMITS
from tailfuse.data.split_arrays import Dataset
from tailfuse.export.bundle import make_manifest, write_bundle
from tailfuse.network.build import AnyNetwork, build_network, check_encoders
from tailfuse.network.network import Network
from tailfuse.network.tensors import make_output, make_tensors
from tailfuse.spec.schema import Spec
from tailfuse.training.fit import FINAL, fit
from tailfuse.training.hardware import Hardware
from tailfuse.training.loop import Stage
from tailfuse.training.state import Epoch
from tailfuse.training.train import check_prior


@dataclass(slots=True)
class NetworkRuntime:
    """Answers with a network in place of an exported graph."""

    network: AnyNetwork
    device: str = "cpu"

    @torch.inference_mode()
    def run(self, batch: Batch) -> Output:
        """Run the whole batch in one pass."""
        return make_output(self.network(*make_tensors(batch)))

    @property
    def can_embed(self) -> bool:
        """Return whether the network has embeddings: a baseline has no joint branch."""
        return isinstance(self.network, Network)

    @torch.inference_mode()
    def embed(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed a batch: the modalities (B, M, W), 0 where absent, and all together (B, W)."""
        assert isinstance(self.network, Network)
        modalities, fused = self.network.answer_and_embed(*make_tensors(batch))[1]
        return modalities.numpy(), fused.numpy()


def fit_model(
    spec: Spec, table: pl.DataFrame, columns: Sequence[str] | None = None, accelerator: str = "cpu"
) -> Model:
    """Train on a table that has been read; its bundle is written when it is exported or pickled.

    `columns` are those of an array by position. Raises SpecError, TableError, RunError.
    """
    check_encoders(spec)
    check_trackers(spec)
    dataset = build_dataset(spec, table)
    check_prior(spec, dataset)
    with Trackers.in_memory(spec, "fit") as trackers:
        return fit_dataset(spec, dataset, columns, accelerator, trackers)


def fit_dataset(
    spec: Spec, dataset: Dataset, columns: Sequence[str] | None = None, accelerator: str = "cpu",
    trackers: Trackers | None = None, on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Model:  # fmt: skip
    """Train on rows that are arrays, and log to trackers if they are given.

    `on_epoch` follows the final network. Raises SpecError, RunError.
    """
    build_network(spec, dataset)  # a mistake in the spec is not to wait for the training
    if trackers:
        trackers.start()
    history: list[dict[str, float]] = []

    def keep_epoch(stage: Stage, epoch: Epoch, n_stages: int) -> None:
        if trackers:
            trackers.on_epoch(stage, epoch, n_stages)
        if stage.name == FINAL:
            history.append(epoch._asdict())
            on_epoch(epoch)

    fabric = Hardware(accelerator).fabric()
    network = fit(spec, dataset, fabric=fabric, on_epoch=keep_epoch)
    manifest = make_manifest(network, spec, dataset)
    bundle = Bundle(
        manifest,
        features_by_modality(manifest.modalities, TABLE_LIMITS),
        NetworkRuntime(network),
        TABLE_LIMITS,
        prior=choose_prior(spec.table, manifest, None),
    )
    return Model(bundle, partial(write_bundle, network, spec, dataset, history), columns)

"""What training asks of a family of networks; there are two, and each states its own steps."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from tailfuse.calibration.calibration_set import (
    CalibrationRows,
    fit_plda_heads,
    limit_rows,
    make_corrupted_features,
)
from tailfuse.calibration.fit_confidence import fit_confidence
from tailfuse.calibration.fit_conflict import fit_conflict
from tailfuse.calibration.fit_forests import fit_forests, takes_forests
from tailfuse.calibration.fit_fusion import fit_fusion
from tailfuse.calibration.fit_linear import FoldNetwork, fit_linear_experts
from tailfuse.calibration.out_of_fold import predict_out_of_fold
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.evaluation.out_of_fold import OutOfFold
from tailfuse.network.baselines import FUSIONS
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.build import build_baseline, build_guided, make_fusion
from tailfuse.network.network import Network
from tailfuse.spec.schema import Spec
from tailfuse.training.validate import fit_temperature

N = TypeVar("N", Network, Baseline)


class Stages(NamedTuple, Generic[N]):
    """Trained networks; nothing of them is fitted on the calibration set yet."""

    family: "Family[N]"
    network: N  # the final one
    folds: list[tuple[N, SplitArrays]]  # the fold networks, each with the training rows it was not trained on
    dataset: Dataset  # features in place of the images of frozen encoders
    corrupted: dict[str, Tensor]  # features of corrupted images, where the encoder is frozen


class Family(Protocol[N]):
    """The steps that differ between families. All other steps are in `fit.py`."""

    has_folds: bool  # whether the calibration needs fold networks

    def build(self, spec: Spec, dataset: Dataset) -> N:
        """Build an untrained network. Raises SpecError."""

    def fit_closed_form(self, network: N, train: SplitArrays, device: torch.device) -> None:
        """Fit the parts of a trained network that need no gradient to its training rows."""

    def cross_fit(self, networks: Sequence[tuple[N, SplitArrays, SplitArrays | None]], spec: Spec) -> None:
        """Fit what each network fits to its own training rows once all are trained, the final one first.

        With each network come its training rows, and the rows of its fold.
        """

    def corrupt_features(
        self, dataset: Dataset, encoders: Mapping[str, nn.Module], device: torch.device
    ) -> dict[str, Tensor]:
        """Compute the features of corrupted images that the calibration needs: (n, F) by modality."""

    def calibrate(self, network: N, stages: Stages[N], spec: Spec) -> None:
        """Fit a copy of the final network on the calibration set, in place."""

    def predict_out_of_fold(self, network: N, stages: Stages[N]) -> OutOfFold | None:
        """Predict validation and training rows by the networks that were not trained on them.

        `network` is calibrated. None of a family without fold networks.
        """


class GuidedFamily:
    """Networks whose fusion follows the confidences, or weighs all modalities alike."""

    has_folds = True

    def build(self, spec: Spec, dataset: Dataset) -> Network:
        return build_guided(spec, dataset)

    def fit_closed_form(self, network: Network, train: SplitArrays, device: torch.device) -> None:
        fit_plda_heads(network, train, device)

    def cross_fit(
        self, networks: Sequence[tuple[Network, SplitArrays, SplitArrays | None]], spec: Spec
    ) -> None:
        fold_networks = [FoldNetwork(*each) for each in networks]
        fit_linear_experts(fold_networks)
        if takes_forests(spec):
            fit_forests(fold_networks)

    def corrupt_features(
        self, dataset: Dataset, encoders: Mapping[str, nn.Module], device: torch.device
    ) -> dict[str, Tensor]:
        return make_corrupted_features(dataset, encoders, device)

    def calibrate(self, network: Network, stages: Stages[Network], spec: Spec) -> None:
        device = network.log_prior.device
        network.fusion = make_fusion(spec, len(network.modalities)).to(device)
        folds = [CalibrationRows(fold, rows) for fold, rows in stages.folds]
        calibration_set = limit_rows([CalibrationRows(network, stages.dataset.val), *folds])
        fit_confidence(
            network, calibration_set, stages.dataset.modalities, stages.corrupted,
            use_plda=spec.network.generative, corrupted=spec.training.damage, seed=spec.seed, device=device,
        )  # fmt: skip
        fit_conflict(network, calibration_set, seed=spec.seed, device=device)
        if spec.training.calibrate:
            fit_fusion(network, calibration_set, seed=spec.seed, device=device)
        network.drop_unused_forests()

    def predict_out_of_fold(self, network: Network, stages: Stages[Network]) -> OutOfFold | None:
        folds = [CalibrationRows(fold, rows) for fold, rows in stages.folds]
        calibration_set = [CalibrationRows(stages.network, stages.dataset.val), *folds]
        return predict_out_of_fold(network, calibration_set, network.log_prior.device)


class BaselineFamily:
    """Networks with a published fusion: only their temperature is fitted on the calibration set."""

    has_folds = False

    def build(self, spec: Spec, dataset: Dataset) -> Baseline:
        return build_baseline(spec, dataset)

    def fit_closed_form(self, network: Baseline, train: SplitArrays, device: torch.device) -> None:
        pass  # every part is trained by gradients

    def cross_fit(
        self, networks: Sequence[tuple[Baseline, SplitArrays, SplitArrays | None]], spec: Spec
    ) -> None:
        pass  # published fusions have no such experts

    def corrupt_features(
        self, dataset: Dataset, encoders: Mapping[str, nn.Module], device: torch.device
    ) -> dict[str, Tensor]:
        return {}

    def calibrate(self, network: Baseline, stages: Stages[Baseline], spec: Spec) -> None:
        if spec.training.calibrate:
            fit_temperature(network, stages.dataset.val, network.log_prior.device)

    def predict_out_of_fold(self, network: Baseline, stages: Stages[Baseline]) -> OutOfFold | None:
        return None


def choose_family(spec: Spec) -> Family[Any]:
    """Return the family of the spec's fusion."""
    return BaselineFamily() if spec.network.fusion in FUSIONS else GuidedFamily()

"""Both graphs against eager torch, for every kind of encoder and unusual numbers of columns and classes."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tailfuse.calibration.calibration_set import CalibrationRows, fit_plda_heads
from tailfuse.calibration.fit_confidence import fit_confidence
from tailfuse.calibration.fit_fusion import fit_fusion
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.export.graphs import TOLERANCE, check_parity, export_graphs, mix_subsets, run_eagerly
from tailfuse.losses.imbalance import make_expert_loss
from tailfuse.modalities import KINDS, ModalitySpec
from tailfuse.modalities.series.logmel import LogMel
from tailfuse.network.network import Network
from tailfuse_service.bundle import GRAPHS, OUTPUT_NAMES, Batch, Manifest, Output, open_graph
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.bundle.runtime import RuntimeName
from tailfuse_service.modalities import ImageModality, Modality, SeriesModality, TabularModality, TextModality
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.tabular import BooleanColumn, NumberColumn

from tests.support.projections import fill_projection

CPU = torch.device("cpu")
WIDTH, N_ROWS = 16, 64
PICTURE = ImageModality(column="p", height=12, width=9, channels=3)
TEXT = TextModality(columns=("t",), buckets=50, ngrams=2, max_tokens=9)
LSA = TEXT.model_copy(update={"encoder": "lsa", "dimensions": 8, "known": b""})
SERIES = SeriesModality(columns=("s",), channels=(Channel(mean=0, scale=1),) * 2, length=40, encoder="conv")
FIXED = SERIES.model_copy(update={"encoder": "fixed"})
LOGMEL = SERIES.model_copy(update={"encoder": "logmel"})


def numbers(width: int) -> TabularModality:
    return TabularModality(columns=tuple(BooleanColumn(name=str(i)) for i in range(width)), width=width)


PIECEWISE = TabularModality(
    columns=(
        NumberColumn(name="a", mean=0, scale=1, indicator=True, edges=(-1.0, 0.0, 0.5, 2.0)),
        NumberColumn(name="b", mean=0, scale=1),
        NumberColumn(name="c", mean=0, scale=1, edges=(-0.5, 0.0, 3.0)),
    ),
    width=4,
)


# Modalities, classes.
CASES: dict[str, tuple[dict[str, Modality], int]] = {
    "a picture and a text": ({"picture": PICTURE, "text": TEXT}, 3),
    "a text by its singular vectors": ({"text": LSA, "numbers": numbers(2)}, 3),
    "a series and numbers": ({"series": SERIES, "numbers": numbers(7)}, 3),
    "a long series with fixed features": (
        {"series": FIXED.model_copy(update={"length": 1300}), "numbers": numbers(7)},
        3,
    ),
    "a series with fixed features": ({"series": FIXED, "numbers": numbers(7)}, 3),
    "a long series with a spectrogram": (
        {"series": LOGMEL.model_copy(update={"length": 1300}), "numbers": numbers(7)},
        3,
    ),
    "a series with a spectrogram": ({"series": LOGMEL, "numbers": numbers(7)}, 3),
    "numbers in bins": ({"bins": PIECEWISE, "numbers": numbers(3)}, 3),
    "one column": ({"one": numbers(1), "two": numbers(2)}, 3),
    "more columns than rows": ({"many": numbers(300), "few": numbers(5)}, 4),
    "two classes": ({"a": numbers(6), "b": numbers(9)}, 2),
    "a hundred classes": ({"a": numbers(20), "b": numbers(110)}, 100),
    "seven modalities": ({f"m{i}": numbers(2 + i) for i in range(7)}, 3),
}


def make_rows(modality: Modality, labels: NDArray[np.int64], random: np.random.Generator) -> NDArray[Any]:
    """Rows that tell their class."""
    n = len(labels)
    if isinstance(modality, ImageModality):
        level = 60 + 60 * (labels % 3)
        shape = (n, modality.channels, modality.height, modality.width)
        return np.clip(random.normal(level[:, None, None, None], 30, shape), 0, 255).astype(np.uint8)
    if isinstance(modality, TextModality):
        tokens = random.integers(1, modality.buckets + 1, (n, 6))
        tokens[:, 0] = 1 + labels % modality.buckets
        tokens[::2, 4:] = 0
        return tokens if modality.encoder == "bag" else np.stack([tokens, tokens % 3], -1).astype(np.int32)
    if isinstance(modality, SeriesModality):
        rows = random.normal(labels[:, None, None] % 3, 1, (n, modality.length, 3))
        rows[:, :, 2] = np.arange(modality.length) < random.integers(1, modality.length + 1, (n, 1))
        return (rows * rows[:, :, 2:]).astype(np.float32)
    assert isinstance(modality, TabularModality)
    means = 2 * np.random.default_rng(7).normal(size=(100, modality.width))
    return (means[labels] + random.normal(size=(n, modality.width))).astype(np.float32)


def make_part(modalities: Mapping[str, Modality], n_classes: int, seed: int, n: int = N_ROWS) -> SplitArrays:
    """Rows with every modality and, where there are enough of them, of every class."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    inputs = {name: make_rows(each, labels, random) for name, each in modalities.items()}
    return SplitArrays(inputs, dict.fromkeys(inputs, np.arange(n)), labels)


def make_spec(modality: Modality) -> ModalitySpec:
    """A spec with the kind's default encoder."""
    return KINDS[modality.kind].spec.model_construct()


@torch.no_grad()
def fit_spectrogram_norms(encoders: Mapping[str, torch.nn.Module], train: SplitArrays) -> None:
    """Give spectrograms the statistics of the training rows, without which no level is far from them."""
    for name, encoder in encoders.items():
        for front in encoder.modules():
            if isinstance(front, LogMel):
                front.norm.momentum = None
                front.train()(torch.from_numpy(train.inputs[name]))
                front.eval()


class Exported(NamedTuple):
    network: Network
    folder: Path
    manifest: Manifest
    test: SplitArrays

    def ways(self) -> dict[str, Callable[[Batch], Output]]:
        """Eager torch and both runtimes."""
        opened = {
            name: open_graph(self.folder / GRAPHS[name], self.manifest, runtime=name).run
            for name in get_args(RuntimeName)
        }
        return {"eager": partial(run_eagerly, self.network), **opened}


# One for each kind of modality; all of them take minutes.
QUICK = ("a picture and a text", "a text by its singular vectors", "a series and numbers", "numbers in bins")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A network whose encoders are not trained, with all else fitted, and its graphs."""
    modalities, n_classes = CASES[request.param]
    torch.manual_seed(0)
    encoders = {
        name: KINDS[each.kind].build_encoder(
            make_spec(each),
            each,
            width=WIDTH,
            dropout=0.0,
            input_dropout=0.0,
        )
        for name, each in modalities.items()
    }
    for encoder in encoders.values():
        fill_projection(encoder)
    network = Network(
        encoders,
        width=WIDTH,
        n_classes=n_classes,
        loss_fn=make_expert_loss(torch.ones(n_classes), (0.0, 1.0, 2.0)),
        dropout=0.0,
    )
    for head in (*network.heads, network.joint.head):
        torch.nn.init.normal_(head.linear.weight, std=0.5)
    train, val, test = (make_part(modalities, n_classes, seed) for seed in range(3))
    fit_spectrogram_norms(encoders, train)
    if n_classes > N_ROWS:
        train, val = (make_part(modalities, n_classes, seed, 2 * n_classes) for seed in range(2))
    fit_plda_heads(network, train, CPU)
    calibration_set = [CalibrationRows(network, val)]
    fit_confidence(
        network, calibration_set, modalities, {}, use_plda=True, corrupted=True, seed=0, device=CPU
    )
    fit_fusion(network, calibration_set, seed=0, device=CPU)
    folder = tmp_path_factory.mktemp("graphs")
    export_graphs(network.eval(), test, folder)
    classes = tuple(ClassInfo(name=str(c), train_count=2, shot="few") for c in range(n_classes))
    manifest = Manifest(
        name="n", version="1", label="l", classes=classes, modalities=modalities, input_schema={}, metrics={},
        calibration={}, reference={}, parity={}, spec={}, built_with={}, files={},
    )  # fmt: skip
    return Exported(network, folder, manifest, test)


def test_both_graphs_answer_as_the_network_on_every_subset(exported: Exported) -> None:
    """Of 1, 2 and 64 rows, and where every row has another subset."""
    worst = check_parity(exported.network, exported.folder, exported.manifest, exported.test)
    assert set(worst) == set(GRAPHS)
    assert max(worst.values()) <= TOLERANCE


def test_a_row_alone_is_answered_as_among_others(exported: Exported) -> None:
    part = mix_subsets(exported.test)
    for name, run in exported.ways().items():
        together = run(part.batch())
        for at in (0, 1, 5, N_ROWS - 1):
            alone = run(part.take(np.array([at])).batch())
            for field in OUTPUT_NAMES:
                np.testing.assert_allclose(
                    getattr(alone, field)[0], getattr(together, field)[at], atol=TOLERANCE, err_msg=name
                )


def extreme(rows: NDArray[Any], value: float) -> NDArray[Any]:
    """Every number is `value`; of a series the mask stays, pixels and words are as extreme as they can be."""
    if rows.dtype == np.uint8:
        return np.full_like(rows, 255 if value else 0)
    if rows.dtype.kind == "i":
        return np.full_like(rows, 1 if value else 0)
    changed = np.full_like(rows, value)
    if rows.ndim == 3:
        changed[:, :, -1] = rows[:, :, -1]
        changed *= rows[:, :, -1:]
    return changed


@pytest.mark.parametrize("value", [0.0, 1e6, -1e6, 1e30])
def test_extreme_rows_have_finite_answers(exported: Exported, value: float) -> None:
    part = mix_subsets(exported.test)
    inputs = {name: extreme(rows, value) for name, rows in part.inputs.items()}
    batch, presence = SplitArrays(inputs, part.position, part.labels).batch(), part.presence()
    for output in (run(batch) for run in exported.ways().values()):
        assert all(np.isfinite(getattr(output, field)).all() for field in OUTPUT_NAMES)
        np.testing.assert_allclose(output.probabilities.sum(1), 1.0, atol=1e-5)
        np.testing.assert_allclose(output.weights.sum(1), 1.0, atol=1e-5)
        assert (output.weights[~presence] == 0).all()
        if not value:
            continue
        far = np.array([rows.dtype == np.float32 for rows in inputs.values()])
        assert output.confidences[:, far].max(initial=0.0) < 0.01
        # Who has nothing else is told that nothing is known.
        nothing = ~(presence & ~far).any(1)
        np.testing.assert_allclose(
            output.probabilities[nothing], 1 / output.probabilities.shape[1], atol=1e-3
        )

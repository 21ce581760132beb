"""Drift: quiet as long as traffic is as the evaluated rows were, and loud when it is not."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tailfuse_service.bundle import Batch, Bundle, Output
from tailfuse_service.bundle.manifest import Histogram, Reference
from tailfuse_service.bundle.summary import input_references
from tailfuse_service.metrics import Metrics, SharedCounters, make_file, reset_gauges
from tailfuse_service.metrics.drift import REST_FACTOR, SLICES, DriftWindow, compute_psi

from tests.support.bundles import MODALITIES

ALERT = 0.25
WINDOW_S = 150.0
EDGES = tuple(step / 20 for step in range(21))
Rows = dict[str, NDArray[Any]]


@pytest.fixture(autouse=True)
def every_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are left out after one that took long to count; here time is made up, but that duration is not."""
    monkeypatch.setattr("tailfuse_service.metrics.drift.REST_FACTOR", 0)


def make_rows(n: int, seed: int = 0) -> Rows:
    """Rows of each modality as they come from its features."""
    random = np.random.default_rng(seed)
    clinical = random.normal(size=(n, 6)).astype(np.float32)
    clinical[:, 1] = random.random(n) < 0.2  # the age is missing
    clinical[:, 3] = np.where(random.random(n) < 0.7, 1, -1)
    clinical[:, 4:] = np.eye(3)[random.choice(3, n, p=(0.5, 0.3, 0.2))][:, :2]  # the third is a missing site
    brightness = random.uniform(60, 180, (n, 1, 1, 1))
    pixels = (brightness + random.normal(0, 20, (n, 3, 8, 6))).clip(0, 255).astype(np.uint8)
    words = random.integers(1, 20, (n, 12)) * (np.arange(12) < random.integers(3, 12, (n, 1)))
    return {"image": pixels, "clinical": clinical, "notes": words}


def get_weights(n: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).dirichlet((6, 4, 2), n).astype(np.float32)


@pytest.fixture
def referenced(bundle: Bundle) -> Bundle:
    """The tiny bundle with the references of 1000 rows."""
    weights = get_weights(1000)

    def histogram(values: NDArray[np.float32]) -> Histogram:
        return Histogram(edges=EDGES, counts=tuple(np.histogram(values, EDGES)[0].tolist()))

    reference = {
        name: Reference(
            presence=1.0,
            weight=histogram(weights[:, at]),
            confidence=histogram(weights[:, at]),
            weight_mean=float(weights[:, at].mean()),
            inputs=input_references(MODALITIES[name], [rows]),
        )
        for at, (name, rows) in enumerate(make_rows(1000).items())
    }
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"reference": reference}))


def make_run(rows: Rows, weights: NDArray[np.float32]) -> tuple[Batch, Output]:
    n = len(weights)
    batch = Batch(rows, {name: np.arange(n) for name in rows}, np.ones((n, 3), bool))
    return batch, Output(np.full((n, 3), 1 / 3, np.float32), weights, weights)


def offered(window: DriftWindow, rows: Rows, weights: NDArray[np.float32], now: float = 0.0) -> None:
    """All rows, in runs of 50; time enough passes between them."""
    for start in range(0, len(weights), 50):
        some = {name: each[start : start + 50] for name, each in rows.items()}
        window.offer(*make_run(some, weights[start : start + 50]), now + start / 50)


Told = dict[tuple[str, ...], float]


def told(window: DriftWindow, counters: SharedCounters, now: float = 0.0) -> Told:
    window.publish(now)
    return {
        (gauge.family, *gauge.labels.values()): gauge.value
        for gauge in window.gauges(dict(counters.items())[window.key])
    }


def watch(bundle: Bundle) -> tuple[DriftWindow, SharedCounters]:
    counters = SharedCounters()
    return DriftWindow(counters, bundle, WINDOW_S), counters


@pytest.mark.parametrize("seed", range(5))
def test_there_is_none_where_rows_are_as_they_were(referenced: Bundle, seed: int) -> None:
    window, counters = watch(referenced)
    offered(window, make_rows(200, seed + 10), get_weights(200, seed + 10))
    drift = told(window, counters, 10)
    assert {name for family, name, *_ in drift if family == "weight_drift"} == set(MODALITIES)
    inputs = {key[1:] for key in drift if key[0] == "input_drift"}
    assert inputs == {
        *(("image", each) for each in ("brightness", "contrast", "detail")),
        *(("clinical", each) for each in ("age", "pulse", "smoker", "site", "all numbers")),
        *(("notes", each) for each in ("words", "repeats", "vocabulary")),
    }
    assert all(value == 200 for key, value in drift.items() if key[0] == "drift_rows")
    assert max(value for key, value in drift.items() if key[0] != "drift_rows") < ALERT


def black(rows: Rows) -> None:
    rows["image"][:] = 0


def noise(rows: Rows) -> None:
    rows["image"][:] = np.random.default_rng(5).integers(0, 256, rows["image"].shape)


def shifted(rows: Rows) -> None:
    rows["clinical"][:, 2] += 1.0


def gone(rows: Rows) -> None:
    rows["clinical"][:, :2] = 0, 1


def other_words(rows: Rows) -> None:
    rows["notes"][rows["notes"] > 0] += 30


@pytest.mark.parametrize(
    ("change", "modality", "loud"),
    [
        (black, "image", {"brightness", "contrast", "detail"}),
        (noise, "image", {"brightness", "contrast", "detail"}),
        (shifted, "clinical", {"pulse"}),
        (gone, "clinical", {"age"}),
        (other_words, "notes", {"vocabulary"}),
    ],
)
def test_what_changes_is_loud_and_the_rest_is_not(
    referenced: Bundle, change: Callable[[Rows], None], modality: str, loud: set[str]
) -> None:
    window, counters = watch(referenced)
    rows = make_rows(200, 10)
    change(rows)
    offered(window, rows, get_weights(200, 10))
    drift = told(window, counters, 10)
    above = {key[1:] for key, value in drift.items() if key[0] == "input_drift" and value > ALERT}
    assert {(modality, each) for each in loud} - above == set()
    assert {name for name, _ in above} == {modality}


def test_weights_that_collapse_are_loud(referenced: Bundle) -> None:
    window, counters = watch(referenced)
    weights = np.tile(np.array([0.01, 0.6, 0.39], np.float32), (200, 1))
    offered(window, make_rows(200, 10), weights)
    assert told(window, counters, 10)["weight_drift", "image"] > 1


def test_of_few_rows_only_their_number_is_told(referenced: Bundle) -> None:
    window, counters = watch(referenced)
    assert told(window, counters) == {("drift_rows", name): 0 for name in MODALITIES}
    offered(window, make_rows(150), get_weights(150))
    assert told(window, counters, 10) == {("drift_rows", name): 150 for name in MODALITIES}


def test_what_is_older_than_the_window_is_forgotten(referenced: Bundle) -> None:
    window, counters = watch(referenced)
    offered(window, make_rows(100), get_weights(100), now=0)
    offered(window, make_rows(50), get_weights(50), now=100)
    step = WINDOW_S / SLICES
    rows = [
        told(window, counters, now)["drift_rows", "image"] for now in (100, WINDOW_S - step, 2 * WINDOW_S)
    ]
    assert rows == [150, 150, 0]
    assert told(window, counters, WINDOW_S + step)["drift_rows", "image"] == 0


def test_a_summary_is_followed_by_a_rest(referenced: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailfuse_service.metrics.drift.REST_FACTOR", REST_FACTOR)
    window, counters = watch(referenced)
    run = make_run(make_rows(50), get_weights(50))
    for _ in range(3):
        window.offer(*run, 1.0)  # at the same moment: the second and third are not looked at
    assert told(window, counters, 1)["drift_rows", "image"] == 50


def test_a_modality_that_is_absent_has_no_rows(referenced: Bundle) -> None:
    window, counters = watch(referenced)
    batch, output = make_run(make_rows(50), get_weights(50))
    nobody = np.array([], np.int64)
    batch = Batch(
        {**batch.inputs, "image": batch.inputs["image"][:0]}, {**batch.rows, "image": nobody}, batch.presence
    )
    window.offer(batch, output, 0)
    drift = told(window, counters)
    assert [drift["drift_rows", name] for name in MODALITIES] == [0, 50, 50]


def test_windows_of_workers_are_added_up_and_vanish_with_their_bundle(
    referenced: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_file(), make_file()
    first, second = (
        Metrics(
            counters=SharedCounters(files[at]), others=[SharedCounters(files[1 - at])], drift_window_s=1e6
        )
        for at in range(2)
    )

    def value(metrics: Metrics, family: str, **labels: str) -> float | None:
        labels |= {"model": "skin-lesions", "version": "3", "modality": "image"}
        return metrics.registry.get_sample_value(f"tailfuse_{family}", labels)

    each = [metrics.serve(referenced) for metrics in (first, second)]
    for at, series in enumerate(each):
        for start in range(0, 120, 40):
            rows = {name: some[start : start + 40] for name, some in make_rows(120, at).items()}
            series.observe_batch(*make_run(rows, get_weights(120)[start : start + 40]), 0.001)
    second.publish()
    assert value(first, "drift_rows") == 240
    assert value(first, "input_drift", input="brightness") == pytest.approx(0, abs=ALERT)
    reset_gauges(SharedCounters(files[1]))  # as if the second worker had been killed
    assert value(first, "drift_rows") == 120
    second.publish()
    second.retire(each[1])
    assert value(first, "drift_rows") == 120
    assert value(first, "input_drift", input="brightness") is None
    first.retire(first.serve(referenced))  # the same one again, and away: the other one goes on
    assert value(first, "drift_rows") == 120
    first.retire(each[0])
    assert value(first, "drift_rows") is None
    assert value(first, "model_load_seconds") is None
    for file in files:
        os.close(file)


def test_weights_at_the_edge_of_a_bin_are_in_the_same_as_in_the_reference(referenced: Bundle) -> None:
    even = np.tile(np.array([0.5, 0.25, 0.25], np.float32), (200, 1))
    reference = {
        name: each.model_copy(
            update={
                "weight": Histogram(edges=EDGES, counts=tuple(np.histogram(even[:, at], EDGES)[0].tolist())),
                "inputs": (),
            }
        )
        for at, (name, each) in enumerate(referenced.manifest.reference.items())
    }
    manifest = referenced.manifest.model_copy(update={"reference": reference})
    window, counters = watch(replace(referenced, manifest=manifest))
    offered(window, make_rows(200), even)
    drift = told(window, counters, 10)
    assert [drift["weight_drift", name] for name in MODALITIES] == pytest.approx([0, 0, 0])
    assert not [key for key in drift if key[0] == "input_drift"]


def test_a_modality_that_no_evaluated_row_had_has_no_drift(referenced: Bundle) -> None:
    empty = Histogram(edges=EDGES, counts=(0,) * 20)
    inputs = input_references(MODALITIES["image"], [])
    none = Reference(presence=0, weight=empty, confidence=empty, inputs=inputs)
    manifest = referenced.manifest.model_copy(update={"reference": {"image": none}})
    window, counters = watch(replace(referenced, manifest=manifest))
    offered(window, make_rows(200), get_weights(200))
    assert told(window, counters, 10) == {("drift_rows", "image"): 200}


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": {"edges": [0, 1], "counts": []}},
        {"weight": {"edges": [0, 1], "counts": [1, 2]}},
        {"inputs": [{"name": "brightness", "edges": [0.5], "counts": [1, 2]}]},
    ],
)
def test_references_whose_counts_do_not_fit_are_no_references(
    referenced: Bundle, wrong: dict[str, Any]
) -> None:
    reference = referenced.manifest.reference["image"].model_dump() | wrong
    with pytest.raises(ValueError, match="counts"):
        Reference.model_validate(reference)


def test_bundles_without_references_have_no_drift(bundle: Bundle) -> None:
    window, counters = watch(bundle)
    window.offer(*make_run(make_rows(50), get_weights(50)), 0)
    window.publish(0)
    assert list(window.gauges([])) == []
    assert counters.known() == []


def test_psi_is_that_of_the_textbook() -> None:
    here, there = np.array([10.0, 30, 60]), np.array([20, 30, 50])
    p, q = (here + 0.5) / 101.5, (there + 0.5) / 101.5
    assert compute_psi(here, there) == pytest.approx(sum((p - q) * np.log(p / q)))
    assert compute_psi(here, 10 * np.array([10, 30, 60])) == pytest.approx(0, abs=1e-3)

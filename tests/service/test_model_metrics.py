"""What is counted of a bundle's answers, and how many series there can be at most."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient
from tailfuse_service.bundle import Batch, Bundle, Output, features_by_modality
from tailfuse_service.bundle.manifest import ClassInfo, Histogram, Reference, Shot
from tailfuse_service.metrics import Metrics, SharedCounters, counters, make_file
from tailfuse_service.metrics.metrics import MAX_VERSIONS
from tailfuse_service.metrics.model_metrics import MAX_CLASSES, MAX_SUBSETS
from tailfuse_service.modalities import TextModality

LABELS = {"model": "skin-lesions", "version": "3"}


def get_value(metrics: Metrics, sample: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"tailfuse_{sample}", LABELS | labels)


def get_labels(metrics: Metrics, family: str, label: str) -> list[str]:
    """The values that a label has."""
    return [
        sample.labels[label]
        for each in metrics.registry.collect()
        if each.name == f"tailfuse_{family}"
        for sample in each.samples
    ]


def with_manifest(bundle: Bundle, **changes: Any) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update=changes))


def answered(
    probabilities: Sequence[Sequence[float]], disagreement: Sequence[float] | None = None
) -> tuple[Batch, Output]:
    """A run whose samples have all three modalities."""
    n = len(probabilities)
    even = np.full((n, 3), 1 / 3, np.float32)
    bits = None if disagreement is None else np.array(disagreement, np.float32)
    return (
        Batch({}, {}, np.ones((n, 3), bool)),
        Output(np.array(probabilities, np.float32), even, even, bits),
    )


def test_of_each_class_predictions_and_the_sum_of_its_probabilities(bundle: Bundle) -> None:
    metrics = Metrics()
    series = metrics.serve(bundle)
    series.observe_batch(*answered([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]), 0.01)
    series.observe_batch(*answered([[0.7, 0.3, 0.0]]), 0.01)
    predictions = [get_value(metrics, "predictions_total", label=label) for label in ("nv", "mel", "bkl")]
    assert predictions == [2, 0, 1]
    sums = [get_value(metrics, "probability_total", label=label) for label in ("nv", "mel", "bkl")]
    assert sums == pytest.approx([1.3, 0.9, 0.8])
    shares = [
        get_value(metrics, "class_training_share", label=label, shot=shot)
        for label, shot in (("nv", "many"), ("mel", "medium"), ("bkl", "few"))
    ]
    assert shares == pytest.approx([90 / 133, 40 / 133, 3 / 133])


def test_entropy_is_one_where_all_classes_are_alike(bundle: Bundle) -> None:
    metrics = Metrics()
    series = metrics.serve(bundle)
    series.observe_batch(*answered([[1 / 3] * 3, [1, 0, 0], [0.5, 0.5, 0]]), 0.01)
    assert get_value(metrics, "entropy_sum") == pytest.approx(1 + 0 + np.log(2) / np.log(3))
    assert get_value(metrics, "entropy_bucket", le="0.01") == 1
    assert get_value(metrics, "entropy_bucket", le="0.7") == 2
    assert get_value(metrics, "entropy_count") == 3


def test_disagreement_is_there_only_if_the_graph_tells_it(bundle: Bundle) -> None:
    metrics = Metrics()
    series = metrics.serve(bundle)
    series.observe_batch(*answered([[1, 0, 0]]), 0.01)
    assert get_value(metrics, "expert_disagreement_count") is None
    series.observe_batch(*answered([[1, 0, 0], [0, 1, 0]], [0.25, 0.5]), 0.01)
    series.flush()
    assert get_value(metrics, "expert_disagreement_count") == 2
    assert get_value(metrics, "expert_disagreement_sum") == 0.75
    assert get_value(metrics, "expert_disagreement_bucket", le="0.3") == 1


def test_conflict_is_counted_where_two_modalities_are_present(bundle: Bundle) -> None:
    metrics = Metrics()
    series = metrics.serve(bundle)
    batch, output = answered([[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    series.observe_batch(batch, output, 0.01)
    assert get_value(metrics, "conflict_count") is None
    presence = np.array([[True, True, False], [True, False, False], [True, True, True]])
    conflict = np.array([0.25, 0.0, 0.5], np.float32)
    series.observe_batch(replace(batch, presence=presence), replace(output, conflict=conflict), 0.01)
    series.flush()
    assert get_value(metrics, "conflict_count") == 2
    assert get_value(metrics, "conflict_sum") == 0.75
    assert get_value(metrics, "conflict_bucket", le="0.3") == 1


def test_what_has_been_put_down_is_counted_as_soon_as_it_is_much(bundle: Bundle) -> None:
    file = make_file()
    metrics = Metrics(counters=SharedCounters(file))
    series = metrics.serve(bundle)
    for _ in range(200):
        series.observe_batch(*answered([[1, 0, 0]] * 10), 0.01)
        metrics.observe_queue([0.001] * 10)
    seen = dict(SharedCounters(file).items())  # by another process, without anybody having asked this one
    assert seen["predictions", "skin-lesions", "3", "nv"][0] >= 1500
    assert sum(seen["stage_seconds", "queue"][:-1]) >= 1500
    os.close(file)


def get_classes(count: int) -> tuple[ClassInfo, ...]:
    """The first is the most frequent one."""
    shots: tuple[Shot, ...] = ("many", "medium", "few")
    return tuple(
        ClassInfo(name=f"c{at}", train_count=count - at, shot=shots[3 * at // count]) for at in range(count)
    )


def test_of_very_many_classes_the_rarest_have_their_own_names(bundle: Bundle) -> None:
    metrics = Metrics()
    n = MAX_CLASSES + 150
    series = metrics.serve(with_manifest(bundle, classes=get_classes(n)))
    series.observe_batch(*answered(np.eye(n)[[0, 1, 149, 150, n - 1]].tolist()), 0.01)
    labels = set(get_labels(metrics, "predictions", "label"))
    own = {f"c{at}" for at in range(150, n)}
    assert labels == {*own, "other (many)", "other (medium)"}
    assert get_value(metrics, "predictions_total", label="other (many)") == 2
    assert get_value(metrics, "predictions_total", label="other (medium)") == 1
    assert get_value(metrics, "predictions_total", label="c150") == 1
    shares = metrics.totals()["class_training_share"]
    assert sum(share for (share,) in shares.values()) == pytest.approx(1)
    assert len(shares) == len(labels)


def test_of_very_many_subsets_the_later_ones_share_a_name(bundle: Bundle) -> None:
    notes = bundle.manifest.modalities["notes"]
    assert isinstance(notes, TextModality)
    metrics = Metrics()
    series = metrics.serve(with_manifest(bundle, modalities={f"m{at}": notes for at in range(10)}))
    masks: NDArray[np.bool_] = (np.arange(1, 101)[:, None] >> np.arange(10) & 1).astype(bool)
    even = np.full((100, 10), 0.1, np.float32)
    output = Output(np.full((100, 3), 1 / 3, np.float32), even, even)
    for _ in range(2):
        series.observe_batch(Batch({}, {}, masks), output, 0.01)
    subsets = get_labels(metrics, "samples", "subset")
    assert len(subsets) == MAX_SUBSETS + 1
    assert get_value(metrics, "samples_total", subset="m0+m1") == 2
    assert get_value(metrics, "samples_total", subset="other") == 2 * (100 - MAX_SUBSETS)


def test_counts_of_the_last_versions_are_kept(bundle: Bundle) -> None:
    metrics = Metrics()
    for version in range(1, MAX_VERSIONS + 4):
        series = metrics.serve(with_manifest(bundle, version=str(version)))
        series.observe_batch(*answered([[1, 0, 0]]), 0.01)
        metrics.retire(series)
        metrics.close(series)
    last = [str(version) for version in range(4, MAX_VERSIONS + 4)]
    assert sorted(set(get_labels(metrics, "predictions", "version")), key=int) == last
    assert sorted(set(get_labels(metrics, "fusion_weight", "version")), key=int) == last
    assert get_value(metrics, "predictions_total", version="4", label="nv") == 1
    assert get_labels(metrics, "model_info", "version") == []
    again = metrics.serve(with_manifest(bundle, version="1"))
    again.observe_batch(*answered([[1, 0, 0]]), 0.01)
    assert get_value(metrics, "predictions_total", version="1", label="nv") == 1  # from 0 again
    assert get_value(metrics, "predictions_total", version="4", label="nv") is None


def test_a_version_that_still_answers_is_not_given_up(bundle: Bundle) -> None:
    metrics = Metrics()
    slow = metrics.serve(with_manifest(bundle, version="0"))
    metrics.retire(slow)
    for version in range(1, MAX_VERSIONS + 3):
        series = metrics.serve(with_manifest(bundle, version=str(version)))
        metrics.retire(series)
        metrics.close(series)
    slow.observe_batch(*answered([[1, 0, 0]]), 0.01)
    metrics.close(slow)
    assert get_value(metrics, "predictions_total", version="0", label="nv") == 1


def test_blocks_that_are_given_up_are_used_again_and_begin_at_zero() -> None:
    file = make_file()
    writer, reader = SharedCounters(file), SharedCounters(file)
    for at in range(100):
        block = writer.block(f"old{at}", size=3)
        block[0] = block[2] = 7.0
    for at in range(100):
        writer.forget((f"old{at}",))
    assert reader.items() == []
    for at in range(100):
        writer.block(f"new{at}", size=3)[1] = 1.0
    expected = {(f"new{at}",): [0.0, 1.0, 0.0] for at in range(100)}
    assert dict(reader.items()) == dict(SharedCounters(file).items()) == expected
    assert writer._end == 300
    os.close(file)


def test_a_full_file_loses_new_numbers_only_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(counters, "CAPACITY", 4)
    few = SharedCounters()
    few.block("first", size=3)[0] = 1.0
    with caplog.at_level(logging.ERROR):
        for name in ("second", "third"):
            few.block(name, size=3)[2] = 5.0
    few.block("first", size=3)[0] += 1.0
    assert dict(few.items()) == {("first",): [2.0, 0.0, 0.0]}
    assert [record.message for record in caplog.records] == [
        "there is no room for more metrics; new ones are not shown"
    ]


def test_values_that_cannot_be_read_are_counted_by_modality(client: TestClient) -> None:
    client.post("/predict", json={"inputs": {"image": "AAAA"}})
    client.post("/predict", json={"inputs": {"clinical": {"age": "old"}, "notes": "x"}})
    client.post("/predict", json={"inputs": {"smell": 1}})
    items = [{"inputs": {"image": "AAAA"}}, {"inputs": {"notes": "x"}}, {"inputs": {"notes": 3}}]
    client.post("/predict/batch", json={"items": items})
    text = client.get("/metrics").text
    for modality, count in (("image", 2), ("clinical", 1), ("notes", 1)):
        labels = f'modality="{modality}",model="skin-lesions",version="3"'
        assert f"tailfuse_decode_failures_total{{{labels}}} {count}.0" in text
    assert "smell" not in text


def test_a_picture_that_is_too_large_here_and_read_elsewhere_is_no_failure(
    client: TestClient, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: Any = client.app
    monkeypatch.setattr(app.registry.engine, "_inline_bundle", with_few_pixels(app.registry.engine.bundle))
    assert client.post("/predict", files={"image": picture}).status_code == 200
    text = client.get("/metrics").text
    assert 'tailfuse_decode_failures_total{modality="image",model="skin-lesions",version="3"} 0.0' in text
    assert 'tailfuse_stage_seconds_count{stage="decode"} 1.0' in text


def with_few_pixels(bundle: Bundle) -> Bundle:
    limits = replace(bundle.limits, max_pixels=10)
    return replace(bundle, features=features_by_modality(bundle.manifest.modalities, limits))


def test_where_the_time_of_a_request_went(client: TestClient) -> None:
    client.post("/predict", json={"inputs": {"notes": "spot"}})
    items = [{"inputs": {"notes": "spot"}}] * 3
    client.post("/predict/batch", json={"items": items})
    text = client.get("/metrics").text
    for stage, count in (("decode", 4), ("queue", 4), ("run", 2), ("encode", 2)):
        assert f'tailfuse_stage_seconds_count{{stage="{stage}"}} {count}.0' in text


def test_it_is_ready_with_a_bundle(client: TestClient, make_client: Any) -> None:
    assert "tailfuse_ready 1.0" in client.get("/metrics").text
    assert "tailfuse_ready 0.0" in make_client(None).get("/metrics").text


def get_reference(counts: dict[int, int], mean: float | None) -> Reference:
    edges = tuple(step / 20 for step in range(21))
    histogram = Histogram(edges=edges, counts=tuple(counts.get(at, 0) for at in range(20)))
    return Reference(
        presence=0.5, weight=histogram, confidence=histogram, weight_mean=mean, confidence_mean=mean
    )


def test_references_are_told_and_those_of_older_bundles_by_their_bins(bundle: Bundle) -> None:
    reference = {
        "image": get_reference({0: 1, 1: 3}, 0.07),
        "clinical": get_reference({0: 1, 1: 3}, None),
        "notes": get_reference({}, None),  # no row had it
    }
    metrics = Metrics()
    metrics.serve(with_manifest(bundle, reference=reference))
    for family in ("reference_weight", "reference_confidence"):
        told = [get_value(metrics, family, modality=name) for name in reference]
        assert told == [0.07, pytest.approx((0.025 + 3 * 0.075) / 4), None]
    assert get_value(metrics, "reference_presence", modality="notes") == 0.5

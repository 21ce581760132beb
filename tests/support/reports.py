"""Evaluations and manifests made up for reports, small and large."""

from pathlib import Path

import numpy as np
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.evaluate import Evaluation, evaluate
from tailfuse.evaluation.noise_curves import STRENGTHS, NoisePoint
from tailfuse.evaluation.report import Findings, write_report
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.bundle.manifest import ClassInfo, Manifest, Shot
from tailfuse_service.modalities import Modality, TabularModality
from tailfuse_service.modalities.tabular import NumberColumn


def classes_named(*names: str) -> tuple[ClassInfo, ...]:
    shots: tuple[Shot, ...] = ("many", "medium", "few")
    return tuple(
        ClassInfo(name=name, train_count=max(1, 100 // (at + 1)), shot=shots[at * 3 // len(names)])
        for at, name in enumerate(names)
    )


def evaluated(classes: tuple[ClassInfo, ...], modalities: list[str], lacking: bool = False) -> Evaluation:
    """Four rows of each class; every fourth is taken for the next class, or lacks its first modality."""

    def run(batch: Batch) -> Output:
        value = np.zeros(len(batch.presence), np.int64)
        for name, rows in batch.rows.items():
            value[rows] = batch.inputs[name][:, 0]
        weights = batch.presence / batch.presence.sum(axis=1, keepdims=True)
        answers = 0.6 * np.eye(len(classes))[value] + 0.4 / len(classes)
        return Output(*(array.astype(np.float32) for array in (answers, weights, 0.8 * batch.presence)))

    labels = np.repeat(np.arange(len(classes)), 4)
    fourth = np.arange(len(labels)) % 4 == 3
    values = np.where(fourth, (labels + 1) % len(classes), labels)[:, None]
    position = {name: np.arange(len(labels)) for name in modalities}
    if lacking:
        position[modalities[0]] = np.where(fourth, -1, position[modalities[0]])
    return evaluate(run, SplitArrays(dict.fromkeys(modalities, values), position, labels), classes)


def make_manifest(evaluation: Evaluation, modalities: dict[str, Modality], name: str = "digits") -> Manifest:
    return Manifest(
        name=name,
        version="3",
        label="digit",
        classes=evaluation.classes,
        modalities=modalities,
        input_schema={},
        calibration={},
        metrics=evaluation.metrics,
        reference=evaluation.reference,
        parity={"onnx": 3e-7},
        spec={"table": "/home/someone/digits.parquet"},
        built_with={"torch": "2.13.0"},
        files={},
    )


def write_large_report(path: Path, *, n_classes: int, n_modalities: int) -> Path:
    """Write a report of many classes or modalities, with long names, to a path."""
    names = [f"modality_with_a_long_name_{at}" for at in range(n_modalities)]
    classes = classes_named(
        *(f"class {at} with a long name, as taxonomies have them" for at in range(n_classes))
    )
    evaluation = evaluated(classes, names)
    column = NumberColumn(name="area", mean=1.0, scale=2.0)
    modalities: dict[str, Modality] = {name: TabularModality(columns=(column,), width=1) for name in names}
    points = [NoisePoint(strength, 0.5, 0.5, 0.5) for strength in STRENGTHS]
    history = [{"epoch": epoch, "loss": 1.0, "val_loss": 1.0} for epoch in range(200)]
    findings = Findings(noise=dict.fromkeys(names, points))
    write_report(path, make_manifest(evaluation, modalities), evaluation, history, findings)
    return path

"""Assemble a bundle: graphs, parity, metrics on test, manifest, report and card; whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from tailfuse_service.bundle import (
    GRAPHS,
    MANIFEST,
    Manifest,
    atomic_folder,
    compute_shares,
    input_schema,
    open_bundle,
    open_graph,
    sha256,
)
from tailfuse_service.bundle.manifest import DefaultPrior, Reference
from tailfuse_service.bundle.prior import GIVEN
from tailfuse_service.bundle.summary import input_references
from tailfuse_service.modalities import Modality

from tailfuse.data.examples import read_examples
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.evaluation.card import model_card
from tailfuse.evaluation.check_adaptation import keep_answers
from tailfuse.evaluation.evaluate import evaluate
from tailfuse.evaluation.findings import collect_findings
from tailfuse.evaluation.logistic import predict_logistic
from tailfuse.evaluation.out_of_fold import OutOfFold, select_answered
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.evaluation.prior import mean_answers
from tailfuse.evaluation.prior_metrics import evaluate_priors
from tailfuse.evaluation.report import LOGISTIC, Findings, write_report
from tailfuse.export.graphs import check_parity, export_graphs, make_example
from tailfuse.files.table import read_table
from tailfuse.network.build import AnyNetwork
from tailfuse.spec.schedule import choose_schedule
from tailfuse.spec.schema import Spec

BUILT_WITH = ("tailfuse", "torch", "onnx", "onnxruntime", "numpy")


def write_bundle(
    network: AnyNetwork, spec: Spec, dataset: Dataset, history: list[dict[str, float]], target: Path,
    out_of_fold: OutOfFold | None = None, *, n_examples: int = 0,
) -> Manifest:  # fmt: skip
    """Export, check and evaluate `network`, and put the bundle at `target`. Raises ExportError, TableError.

    `out_of_fold` are the answers to validation and training rows, for the report. The inputs of `n_examples`
    test rows become part of the bundle.
    """
    example = make_example(dataset.train)
    manifest = make_manifest(network, spec, dataset)
    examples = read_examples(spec, dataset.modalities, n_examples)
    with atomic_folder(target) as folder:
        export_graphs(network, example, folder)
        parity = check_parity(network, folder, manifest, example)
        runtime = open_graph(folder / GRAPHS["onnx"], manifest, runtime="onnx", threads=0)
        evaluation = replace(
            evaluate(runtime.run, dataset.test, dataset.classes),
            priors=evaluate_priors(runtime.run, dataset.test, manifest),
        )
        validation = evaluate(runtime.run, dataset.val, dataset.classes)
        val_answers = predict_part(runtime.run, dataset.val).probabilities
        # Without test rows, drift is measured from the validation rows.
        reference, rows = evaluation.reference, dataset.test
        if not len(rows):
            reference, rows = validation.reference, dataset.val
        manifest = manifest.model_copy(
            update={
                "parity": parity,
                "metrics": evaluation.metrics,
                "validation_metrics": validation.metrics,
                "prior_metrics": evaluation.priors,
                "reference": add_input_references(reference, manifest.modalities, rows),
                "held_out": mean_answers(val_answers, dataset.val.labels),
                "held_out_rows": keep_answers(val_answers, dataset.val.labels),
                "examples": tuple(each.inputs for each in examples),
                "example_labels": tuple(each.label for each in examples),
            }
        )
        findings = Findings()
        if len(dataset.test):
            others = {"validation": dataset.val, "training": dataset.train}
            findings = collect_findings(
                manifest, runtime.run, dataset.test, evaluation,
                # Rows that are not from a file cannot be read again.
                None if dataset.table_sha256 is None else lambda: read_table(spec.table, spec.reading),
                shown=spec.report.rows, source="test",
                others=select_answered(out_of_fold, others) if out_of_fold else (),
                predictions={LOGISTIC: predict_logistic(dataset)},
            )  # fmt: skip
        write_report(folder / "report.html", manifest, evaluation, history, findings)
        (folder / "MODEL_CARD.md").write_text(model_card(manifest, evaluation))
        files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
        manifest = manifest.model_copy(update={"files": files})
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))
        open_bundle(folder)  # as the service will
    return manifest


def add_input_references(
    reference: Mapping[str, Reference], modalities: Mapping[str, Modality], part: SplitArrays
) -> dict[str, Reference]:
    """Add the references of the inputs to those of the weights."""
    by_name: dict[str, Reference] = {}
    for name, each in reference.items():
        rows = (some.batch().inputs[name] for some in part.only([name]).batches(256))
        by_name[name] = each.model_copy(update={"inputs": input_references(modalities[name], rows)})
    return by_name


def make_default_prior(spec: Spec, dataset: Dataset) -> DefaultPrior | None:
    """Return the prior of the bundle's answers; None if it is the graphs' own. Raises PriorError."""
    if spec.prior in (None, "uniform"):
        return None
    shares = compute_shares(dataset.classes, spec.prior)
    name = spec.prior if isinstance(spec.prior, str) else GIVEN
    by_class = {info.name: share for info, share in zip(dataset.classes, shares.tolist(), strict=True)}
    return DefaultPrior.model_validate({"name": name, "shares": by_class})


def make_manifest(network: AnyNetwork, spec: Spec, dataset: Dataset) -> Manifest:
    """Make the manifest, without measured values."""
    fusion = {name: value.flatten().tolist() for name, value in network.describe_calibration().items()}
    written = json.loads(spec.model_dump_json())
    written["table"] = spec.table.name  # a path on one machine is not part of a bundle
    written["table_sha256"] = dataset.table_sha256
    for name, each in spec.modalities.items():
        if each.weights_path is not None:
            written["modalities"][name]["encoder"] = each.weights_path.name
    written["training"] |= choose_schedule(spec.training, len(dataset.train))._asdict()
    return Manifest(
        name=spec.name,
        version=spec.version,
        label=spec.label,
        classes=dataset.classes,
        merged_labels=dataset.merged_labels,
        modalities=dataset.modalities,
        input_schema=input_schema(dataset.modalities),
        calibration=fusion,
        metrics={},
        prior=make_default_prior(spec, dataset),
        reference={},
        parity={},
        spec=written,
        built_with={package: version(package) for package in BUILT_WITH},
        files={},
    )

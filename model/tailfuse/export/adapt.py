"""Adapt a bundle to rows whose classes are not equally frequent: the same network, another class prior."""

import logging
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import polars as pl
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from tailfuse_service.bundle import GRAPHS, MANIFEST, OUTPUT_NAMES, Manifest, open_bundle, open_graph, sha256
from tailfuse_service.bundle.atomic import atomic_folder
from tailfuse_service.bundle.files import read_manifest, unpacked
from tailfuse_service.bundle.manifest import Adaptation, Shot, SubsetMetrics
from tailfuse_service.modalities.tabular.spelling import KnownNames

from tailfuse.data.arrays import OnProgress, make_split_arrays
from tailfuse.data.classes import encode_labels, read_labels
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import ExportError, TableError, UserError
from tailfuse.evaluation.check_adaptation import cross_validate, simulate
from tailfuse.evaluation.group_recall import estimate_group_recall
from tailfuse.evaluation.metrics import FloatArray, subset_metrics
from tailfuse.evaluation.pages import page
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.evaluation.prior import Floats, estimate_prior, reweighted
from tailfuse.export.graphs import LOG_PRIOR, TOLERANCE, save_torchscript
from tailfuse.files.reading import make_reading
from tailfuse.files.sources import digest_table
from tailfuse.files.table import read_table

ADAPTED = "+adapted"
CHECKED_ROWS = 64
NOTICE = re.compile(r"<!-- adapted -->.*?<!-- /adapted -->\n\n", re.DOTALL)
# A page's notice is inserted after this.
HEADING = {"MODEL_CARD.md": re.compile(r"^# .*\n\n?", re.MULTILINE), "report.html": re.compile("</header>\n")}

log = logging.getLogger("tailfuse")


class Unlabelled(NamedTuple):
    """Rows to adapt to. The label of a row that has none is -1; labels only evaluate the result."""

    part: SplitArrays
    sha256: str


def unlabelled_rows(
    manifest: Manifest, path: Path, limit: int | None = None, on_progress: OnProgress | None = None
) -> Unlabelled:
    """The rows of a table, or the first of them, that have a modality. Raises TableError."""
    table = read_table(path, make_reading(manifest.spec))[:limit]
    digest = digest_table(path)
    if digest == manifest.spec.get("table_sha256"):
        log.warning("these rows include those that the model was trained on: give rows from where it is used")
    codes = read_known_labels(table, manifest)
    part = make_split_arrays(table, manifest.modalities, path.parent, labels=codes, on_progress=on_progress)
    present = np.flatnonzero(part.presence().any(axis=1))
    if not len(present):
        raise TableError(f"{path}: no row has any modality of this model: {', '.join(manifest.modalities)}")
    return Unlabelled(part.take(present), digest)


def read_known_labels(table: pl.DataFrame, manifest: Manifest) -> NDArray[np.int64]:
    """The class of each row, (N,); -1 where there is no label, or one that the model does not know."""
    if manifest.label not in table.columns:
        return np.full(len(table), -1, np.int64)
    labels = read_labels(table, manifest.label).replace(manifest.merged_labels)
    names = KnownNames(manifest.class_names)
    spelt = [label for label in labels.unique().drop_nulls() if names.find(label) is not None]
    known = labels.is_in(spelt).fill_null(False).to_numpy()
    unknown = np.flatnonzero(labels.is_not_null().to_numpy() & ~known)
    if len(unknown):
        log.warning(
            "column '%s': %d labels are no class of this model and are left out; the first: row %d, '%.80s'",
            manifest.label, len(unknown), unknown[0] + 1, labels[int(unknown[0])],
        )  # fmt: skip
    codes = np.full(len(table), -1, np.int64)
    codes[known] = encode_labels(labels, manifest.class_names, np.flatnonzero(known))
    return codes


def find_adaptation(source: Path, rows: Unlabelled) -> Adaptation:
    """Estimate how frequent the classes are among these rows, and what adapting to them changes.

    A bundle that is adapted already is adapted anew, from equal frequencies. Raises BundleError, UserError.
    """
    with unpacked(source) as folder:
        manifest = read_manifest(folder)
        if manifest.held_out is None:
            raise UserError(
                f"{source} was written by an older tailfuse and cannot be adapted: it does not say how "
                "the calibration set was answered; train it again"
            )
        answers = remove_prior(
            predict_part(open_bundle(folder, threads=0).runtime.run, rows.part).probabilities, manifest
        )
        counts = [info.train_count for info in manifest.classes]
        prior = estimate_prior(answers, manifest.held_out, counts)
        adapted = reweighted(answers, prior.shares)
        shots = [info.shot for info in manifest.classes]
        check = None
        if prior.shifted:
            check = cross_validate(answers, rows.part.labels, manifest.held_out, counts)
            if check is None and manifest.held_out_rows is not None:
                check = simulate(manifest.held_out_rows, prior.shares, len(rows.part), counts)
        return Adaptation(
            prior=dict(zip(manifest.class_names, prior.shares.tolist(), strict=True)),
            shifted=prior.shifted,
            p_value=prior.p_value,
            rows=len(rows.part),
            table_sha256=rows.sha256,
            before=evaluate_labelled(answers, rows, shots),
            after=evaluate_labelled(adapted, rows, shots),
            # Of both, the adapted probabilities are those of the classes as frequent as they are here.
            estimated_before=estimate_group_recall(adapted, answers.argmax(axis=1), shots),
            estimated_after=estimate_group_recall(adapted, adapted.argmax(axis=1), shots),
            check=check,
        )


def adapt_bundle(
    source: Path, adaptation: Adaptation, rows: Unlabelled, target: Path, version: str | None = None
) -> Manifest:
    """Write the bundle of `source`, adapted, at `target`; whole or not at all.

    Without a `version` it is that of the source and `+adapted`. Raises BundleError, UserError, ExportError.
    """
    with unpacked(source) as folder:
        manifest = read_manifest(folder)
        version = version or manifest.version.removesuffix(ADAPTED) + ADAPTED
        shares = np.array([adaptation.prior[name] for name in manifest.class_names])
        with atomic_folder(target) as new:
            changes = {"version": version, "adaptation": adaptation, "prior": None}
            write_adapted(folder, manifest.model_copy(update=changes), new)
            check_answers(folder, new, manifest, shares, rows.part.first(CHECKED_ROWS))
    return read_manifest(target)


def remove_prior(probabilities: FloatArray, manifest: Manifest) -> Floats:
    """Remove the prior that the bundle was adapted to from its probabilities (N, C)."""
    before = manifest.adaptation
    shares = np.ones(len(manifest.classes)) if before is None else np.array(list(before.prior.values()))
    return reweighted(probabilities, 1 / shares)


def evaluate_labelled(answers: Floats, rows: Unlabelled, shots: Sequence[Shot]) -> SubsetMetrics | None:
    """Metrics of the answers to those rows that have a label, if there are any."""
    labelled = rows.part.labels >= 0
    return subset_metrics(answers[labelled], rows.part.labels[labelled], shots) if labelled.any() else None


def write_adapted(folder: Path, manifest: Manifest, new: Path) -> None:
    """Fill `new`: as before but for the prior of both graphs, a notice on the pages, and the manifest."""
    adaptation = manifest.adaptation
    assert adaptation is not None
    for name in manifest.files:
        shutil.copyfile(folder / name, new / name)
    shares = np.array(list(adaptation.prior.values()))
    log_prior = np.log(shares * len(shares)).astype(np.float32)  # zeros if all are alike
    for name, set_log_prior in (
        (GRAPHS["onnx"], set_onnx_prior),
        (GRAPHS["torchscript"], set_torchscript_prior),
    ):
        if name in manifest.files:
            set_log_prior(new / name, log_prior)
    notice = page("adapted.html.jinja", {"manifest": manifest, "adaptation": adaptation})
    for name, heading in HEADING.items():
        if name in manifest.files:
            text = NOTICE.sub("", (new / name).read_text("utf-8"))
            (new / name).write_text(heading.sub(lambda found: found[0] + notice, text, count=1), "utf-8")
    files = {name: sha256(new / name) for name in manifest.files}
    (new / MANIFEST).write_text(manifest.model_copy(update={"files": files}).model_dump_json(indent=1))


def set_onnx_prior(path: Path, log_prior: FloatArray) -> None:
    """Set the class prior of a graph. Raises UserError if it has none."""
    graph = onnx.load(path)
    found = [each for each in graph.graph.initializer if each.name == LOG_PRIOR]
    if not found:
        raise UserError(f"{path.name} has no class prior that could be set; train the bundle anew")
    found[0].CopyFrom(numpy_helper.from_array(log_prior, LOG_PRIOR))
    onnx.save(graph, path)


def set_torchscript_prior(path: Path, log_prior: FloatArray) -> None:
    """Set the class prior of a graph. Raises UserError if it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit says that it is deprecated
        module = torch.jit.load(path)
        buffers = dict(module.named_buffers())
        if LOG_PRIOR not in buffers:
            raise UserError(f"{path.name} has no class prior that could be set; train the bundle anew")
        buffers[LOG_PRIOR].copy_(torch.from_numpy(log_prior))
        save_torchscript(module, path)


def check_answers(old: Path, new: Path, manifest: Manifest, shares: Floats, part: SplitArrays) -> None:
    """Check that each new graph predicts as the old one, times the prior. Raises ExportError."""
    open_bundle(new)
    batch = part.batch()
    for runtime, name in GRAPHS.items():
        if name not in manifest.files:
            continue
        before, after = (
            open_graph(folder / name, manifest, runtime=runtime).run(batch) for folder in (old, new)
        )
        expected = {
            "probabilities": reweighted(remove_prior(before.probabilities, manifest), shares),
            "weights": before.weights,
            "confidences": before.confidences,
        }
        for field in OUTPUT_NAMES:
            difference = float(np.abs(getattr(after, field) - expected[field]).max())
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"{name}, adapted, is {difference:.2g} from the expected values in {field}; "
                    f"{TOLERANCE:g} is allowed. No bundle was written."
                )

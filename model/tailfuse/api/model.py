"""A bundle that answers rows: what `tailfuse.load` returns. It needs no torch."""

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.bundle import Bundle, Manifest, RuntimeName, open_bundle
from tailfuse_service.bundle.prior import find_graph_shares

from tailfuse.api.answers import answer_rows, explain_rows, list_modalities
from tailfuse.api.bundles import WriteBundle, copy_bundle, open_bytes, pack_bytes, save_bundle
from tailfuse.api.embed import embed_rows
from tailfuse.api.frames import Rows, read_rows
from tailfuse.errors import TableError, UserError
from tailfuse.evaluation.answer_part import Answers
from tailfuse.files.reading import make_reading
from tailfuse.scoring.missing_columns import shorten

if TYPE_CHECKING:
    from tailfuse.api.report import Report

Floats = NDArray[np.float64]


class Model:
    """A bundle. X is a frame of pandas or polars, an Arrow table, columns by name, or the path of a table.

    Frames come back in the library of X: pandas for pandas, else polars. A column that X lacks counts as
    missing, with a warning. A row without any modality has NaN in place of each number.
    """

    def __init__(
        self,
        bundle: Bundle,
        write: WriteBundle,
        columns: Sequence[str] | None = None,
        path: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self.path = path  # of the bundle's folder or .zip; None in memory
        self.write = write
        self.columns = find_columns(bundle.manifest) if columns is None else columns  # of an array
        self.process_id = os.getpid()

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest: classes, modalities, metrics and the spec."""
        return self.bundle.manifest

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """Version of the model."""
        return self.manifest.version

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes (C,), in the order of the columns of `predict_proba`."""
        return np.array(self.manifest.class_names)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities (M,)."""
        return list(self.manifest.modalities)

    def predict(self, X: Any, modalities: Iterable[str] | None = None) -> NDArray[np.str_]:
        """Return the label of each row, (N,). Raises TableError for a row without any modality.

        >>> model.predict({"review": ["a dark spot", "itchy"]}).shape
        (2,)
        """
        return self.classes_[self.choose_classes(X, modalities)]

    def choose_classes(self, X: Any, modalities: Iterable[str] | None = None) -> NDArray[np.int64]:
        """Return the index of each row's class, (N,). Raises TableError for a row without any modality.

        >>> model.choose_classes({"review": ["a dark spot"]}).dtype
        dtype('int64')
        """
        names = list_modalities(modalities, self.modalities)
        answers = self.answer(X, names)
        for row in answers.find_unanswered():
            raise TableError(
                f"row {row + 1} has none of the modalities {', '.join(names)}, so it has no label; "
                "predict_proba returns NaN for such rows"
            )
        chosen: NDArray[np.int64] = answers.probabilities.argmax(axis=1)
        return chosen

    def predict_proba(self, X: Any, modalities: Iterable[str] | None = None) -> Floats:
        """Return the probability of each class, (N, C), from some of the modalities if they are named.

        A row without any of them has NaN. Raises TableError, and ValueError for an unknown name.

        >>> model.predict_proba({"review": ["a dark spot"]}, modalities=["notes"]).shape
        (1, 3)
        """
        return self.answer(X, modalities).probabilities

    def confidences(self, X: Any, modalities: Iterable[str] | None = None) -> Any:
        """Return a frame of N rows: the fusion weight and confidence of each modality, and the conflict.

        All are from 0 to 1, and the weights of a row sum to 1. Raises TableError, and ValueError for the name
        of an unknown modality.

        >>> model.confidences({"review": ["a dark spot"]}).columns[:2]
        ['weight.image', 'confidence.image']
        """
        rows = self.read(X)
        answers = answer_rows(self.bundle, rows.table, rows.folder, modalities)
        columns = {}
        for at, name in enumerate(self.modalities):
            columns[f"weight.{name}"] = answers.weights[:, at]
            columns[f"confidence.{name}"] = answers.confidences[:, at]
        return rows.give_back(make_frame({**columns, "conflict": answers.conflict}))

    def embed(self, X: Any) -> Any:
        """Return a frame with the embedding of each modality and the fused one, a column for each number.

        The columns are `embedding.<modality>.<i>` and `fused.<i>`; what is absent is missing. Raises
        TableError, and UserError where there are no embeddings: in the bundle of an older tailfuse, in a
        baseline, and with the TorchScript runtime.

        >>> model = tailfuse.load(clf.export("embedding"))
        >>> model.embed({"gusts": [0.1, None]})["embedding.tabular.0"].is_null().to_list()
        [False, True]
        """
        rows = self.read(X)
        return rows.give_back(embed_rows(self.bundle, rows))

    def explain(self, X: Any) -> Any:
        """Return a frame with each row's label, and what each modality adds to its probability.

        The contributions are Shapley values: `prior` and the contributions of a row sum to `probability`.
        Raises TableError.

        >>> explained = model.explain({"review": ["a dark spot"]})
        >>> explained.columns[:3]
        ['label', 'probability', 'prior']
        """
        rows = self.read(X)
        prior = np.array([self.shares[name] for name in self.manifest.class_names])
        probabilities, contributions = explain_rows(self.bundle, rows.table, rows.folder, prior)
        answered = ~np.isnan(probabilities[:, 0])
        winner = np.nan_to_num(probabilities, nan=-1.0).argmax(axis=1)
        names = self.classes_[winner].tolist()
        labels = [name if has else None for name, has in zip(names, answered, strict=True)]
        frame = make_frame(
            {
                "probability": probabilities.max(axis=1),
                "prior": np.where(answered, prior[winner], np.nan),
                **{
                    f"contribution.{name}": np.where(answered, contributions[:, at], np.nan)
                    for at, name in enumerate(self.modalities)
                },
            }
        )
        label = pl.Series("label", labels, pl.String)
        return rows.give_back(pl.DataFrame([label, *frame.get_columns()]))

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of each class that the answers hold for."""
        prior = self.bundle.prior
        return find_graph_shares(self.manifest) if prior is None else prior.shares

    def evaluate(
        self, X: Any, y: Any = None, *, part: str | None = None, trained_on: str | Path | None = None
    ) -> "Report":
        """Evaluate on labelled rows: every subset of modalities; many, medium and few-shot classes.

        `y` are the labels; None takes them from the column that the model was trained on. `part` (train, val
        or test) takes these rows of the spec's split. `trained_on` is the table of the training: logistic
        regression is fitted to its rows for the report's page. Raises TableError, UserError.

        >>> rows = {"title": ["a", "b"], "review": ["a dark spot", None]}
        >>> model.evaluate(rows, ["nv", "mel"]).overall.rows
        2
        """
        from tailfuse.api.report import evaluate_rows

        table = None if trained_on is None else Path(trained_on)
        return evaluate_rows(self.bundle, self.read(X), y, part, table)

    def export(self, path: str | Path) -> Path:
        """Write the bundle to a new folder, or to a .zip. Raises UserError if something is there.

        >>> model.export("copy.zip").name
        'copy.zip'
        """
        save_bundle(self.write, Path(path))
        return Path(path)

    def answer(self, X: Any, modalities: Iterable[str] | None = None) -> Answers:
        """Return probabilities, fusion weights, confidences and conflict as arrays. Raises TableError.

        >>> model.answer({"review": ["a dark spot"]}).weights.shape
        (1, 3)
        """
        rows = self.read(X)
        return answer_rows(self.bundle, rows.table, rows.folder, modalities)

    def read(self, X: Any) -> Rows:
        """Return rows as the table that the model reads. Raises TableError, and UserError after a fork.

        >>> model.read({"review": ["a dark spot"]}).table.shape
        (1, 1)
        """
        self.check_process()
        kinds = {
            column: each.kind for each in self.manifest.modalities.values() for column in each.column_names
        }
        rows = read_rows(X, make_reading(self.manifest.spec), kinds, self.columns)
        if rows.by_position and self.columns is None:
            raise TableError(
                "X has no names of columns, and the model reads several modalities; give a frame with the "
                f"columns {shorten(list(kinds))}"
            )
        return rows

    def check_process(self) -> None:
        """Check that this process can read rows.

        Raises UserError in a fork of the process that has loaded the model, or that has read rows: the
        threads of polars and onnxruntime are not in a fork, so it would wait for them for ever.

        >>> model.check_process()
        """
        process_id = os.getpid()
        if self.process_id != process_id or find_reading_process() != process_id:
            raise UserError(
                f"process {process_id} was forked after a model was loaded, and threads do not survive a "
                "fork: start processes by spawn or forkserver, or fork first and load in the child"
            )

    def __repr__(self) -> str:
        classes = ", ".join(self.manifest.class_names[:5]) + (", …" if len(self.classes_) > 5 else "")
        return f"<tailfuse.Model {self.name} {self.version}: {'+'.join(self.modalities)} -> {classes}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def __getstate__(self) -> dict[str, Any]:
        prior = self.bundle.prior
        runtime = self.bundle.runtime_name
        return {
            "bundle": pack_bytes(self.write),
            "runtime": runtime,
            "prior": prior and prior.shares,
            "columns": self.columns,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.bundle, self.write = open_bytes(state["bundle"], state["runtime"], state["prior"])
        self.columns = state["columns"]
        self.path = None
        self.process_id = os.getpid()


@cache
def find_reading_process() -> int:
    """Return the id of the process that was the first to read rows: this one, or one it was forked from."""
    return os.getpid()


def find_columns(manifest: Manifest) -> list[str] | None:
    """Return the columns of an array by position: those of the only modality; None if there are several."""
    if len(manifest.modalities) > 1:
        return None
    [modality] = manifest.modalities.values()
    return list(modality.column_names)


def make_frame(columns: Mapping[str, Floats]) -> pl.DataFrame:
    """Return columns of numbers as a frame; NaN as null."""
    return pl.DataFrame(dict(columns)).with_columns(pl.all().cast(pl.Float64).fill_nan(None))


def load(
    path: str | os.PathLike[str],
    *,
    prior: str | Mapping[str, float] | None = None,
    runtime: RuntimeName = "onnx",
) -> Model:
    """Open a bundle, a folder or .zip. Neither torch nor scikit-learn is needed.

    `prior` names the class prior of the answers (uniform, training, tempered) or gives the share of each
    class. Raises BundleError.

    >>> model = tailfuse.load("bundle")
    >>> model.classes_
    array(['nv', 'mel', 'bkl'], dtype='<U3')
    """
    bundle = open_bundle(Path(path), runtime=runtime, threads=0, prior=prior)
    return Model(bundle, partial(copy_bundle, Path(path).absolute(), bundle.manifest), path=Path(path))


def open_model(
    bundle: str | Path | Model, *, prior: str | Mapping[str, float] | None, runtime: RuntimeName
) -> Model:
    """Return the model of a bundle that may be open already. Raises BundleError, ValueError, UserError."""
    if isinstance(bundle, Model) and (prior is not None or runtime != "onnx"):
        raise ValueError("prior and runtime are for the path of a bundle; give them to tailfuse.load")
    model = bundle if isinstance(bundle, Model) else load(bundle, prior=prior, runtime=runtime)
    model.check_process()
    return model

"""The spec: what to learn from which table. Every mistake in it is named with its key and line."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails
from tailfuse_service.bundle import CONFLICT, DISAGREEMENT, OUTPUT_NAMES, PRIORS
from tailfuse_service.modalities.by_kind import ByKind
from tailfuse_service.modalities.tabular.spelling import spell

from tailfuse.errors import SpecError
from tailfuse.files.reading import DEFAULT_MISSING, Reading, check_encoding, check_separator
from tailfuse.modalities import KINDS, ModalitySpec
from tailfuse.modalities.spec import Frozen, Name
from tailfuse.spec.document import Key, read_document
from tailfuse.spec.trackers import CsvSpec, MlflowSpec, Trackers, TrackersSpec, WandbSpec
from tailfuse.spelling import did_you_mean

MAX_SEED = 2**32 - 1  # the largest seed that scikit-learn takes
RESERVED_NAMES = ("presence", *OUTPUT_NAMES, DISAGREEMENT, CONFLICT)  # inputs and outputs of the graph


def _modality_name(name: str) -> str:
    if (
        name in RESERVED_NAMES
        or not name.replace("_", "").isalnum()
        or not name.isascii()
        or not name[0].isalpha()
    ):
        raise ValueError(
            "a modality's name is letters, digits and _, begins with a letter, and is none of "
            f"{', '.join(RESERVED_NAMES)}"
        )
    return name


def _folds(folds: int | None) -> int | None:
    if folds == 1:
        raise ValueError("takes 0 (none), or at least 2")
    return folds


def _other(name: str | None, info: ValidationInfo) -> str | None:
    if name is not None and info.data.get("min_rows", 0) is None:
        raise ValueError("names the class that rare classes become; it needs min_rows")
    return name


def _class_name(key: Any) -> str:
    """Spell a class as labels are spelled: True is 'true'. The keys may be NumPy's, as in `classes_`."""
    return spell(key.item() if isinstance(key, np.generic) else key)


def _prior(value: Any) -> str | dict[str, float] | None:
    """A name, or the share of each class; which classes there are is known later."""
    if value is None or (isinstance(value, str) and value in PRIORS):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"takes {', '.join(PRIORS)}, or the share of each class")
    try:
        return {_class_name(key): float(share) for key, share in value.items()}
    except (ValueError, TypeError):
        raise ValueError("takes a number for each class: its share") from None


class SplitSpec(Frozen):
    """Fractions of the rows, stratified by class, or a column with train, val and test."""

    column: Name | None = None
    """Column with train, val and test. Without it, rows are drawn at random, stratified by class."""
    val: float = Field(default=0.1, gt=0, lt=1)
    """Share of the rows for validation; with `column`, taken from train where it has no val rows."""
    test: float = Field(default=0.2, ge=0, lt=1)
    """Share of the rows for the test. With 0 a bundle has no figures of test rows."""
    group: Name | None = None
    """Column of groups. Rows of one group are never on both sides of a split."""

    @model_validator(mode="after")
    def _something_is_left(self) -> "SplitSpec":
        if self.val + self.test >= 1:
            raise ValueError("val and test together must leave rows to train on")
        return self


Fusion = Literal[
    "confidence", "uniform", "late", "single", "concat", "tensor", "dynamics", "qmf", "tmc", "sade_mm"
]
Loss = Literal[
    "experts", "cross_entropy", "class_balanced", "focal", "ldam_drw", "balanced_softmax",
    "logit_adjustment", "abc", "reslt", "ace", "sade",
]  # fmt: skip


class NetworkSpec(Frozen):
    """The network: encoders, experts and fusion."""

    fusion: Fusion = "confidence"
    """How modalities are fused. All but `confidence` are baselines to compare with."""
    loss: Loss = "experts"
    """Loss for class imbalance. All but `experts` are baselines to compare with."""
    width: int = Field(default=128, ge=1)
    """Width of the embeddings."""
    experts: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    """Tau of the logit adjustment of each expert."""
    generative: bool = True
    """Whether each modality has a PLDA head, the generative expert."""
    forest: bool | None = None
    """Whether columns have a forest where it helps. It costs time at each answer. null: if they are the only
    modality."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout rate inside encoders."""
    input_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout rate of the encoders' inputs."""


class TrainingSpec(Frozen):
    """The training. What is null follows from the number of training rows: `tailfuse.spec.schedule`."""

    epochs: int | None = Field(default=None, ge=1)
    """Passes over the training rows. null: chosen by their number, at most 200."""
    batch_size: int = Field(default=128, ge=1)
    """Rows in a step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Largest learning rate of the schedule."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Weight decay of the optimiser."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without a better validation loss after which training stops. null: chosen by the number of
    training rows."""
    mixup: float = Field(default=0.5, ge=0)
    """Parameter of the Beta distribution of mixup. 0: off."""
    modality_dropout: float = Field(default=0.5, ge=0, lt=1)
    """How often modalities of a row are dropped in training."""
    folds: Annotated[int | None, AfterValidator(_folds)] = Field(default=None, ge=0)
    """Number of fold networks, 0 or at least 2. Confidences and fusion are fitted on rows that they have not
    seen. null: chosen by the number of training rows."""
    damage: bool = True
    """Whether confidences are fitted on corrupted rows too."""
    calibrate: bool = True
    """Whether the fusion is fitted on the calibration set."""
    smote: bool = False
    """Whether synthetic rows are added (Chawla et al. 2002). A baseline."""
    # Left out of run.json and of the bundle: it does not change what is learnt, and may name a server.
    trackers: Trackers = Field(default=TrackersSpec(csv=CsvSpec()), exclude=True)
    """What keeps the parameters and metrics of the run: a list of `csv`, `tensorboard`, `mlflow`, `wandb`, or
    the keys of [training.trackers](#trainingtrackers)."""


ShownRows = Literal["none", "ids", "all"]
"""What a report shows of rows: nothing; their numbers and what the model says; or their values too."""


class ReportSpec(Frozen):
    """The report in the bundle."""

    rows: ShownRows = "ids"
    """Rows to look at: `none`, `ids` (row numbers, labels and answers), or `all` (also images, texts and
    values, in clear)."""


# The type of a field; mypy shall know it as the base class.
if TYPE_CHECKING:
    AnySpec = ModalitySpec
else:
    AnySpec = Annotated[Any, ByKind(lambda: [kind.spec for kind in KINDS.values()])]
Split = Annotated[
    Annotated[Name, Tag("a column")] | Annotated[SplitSpec, Tag("fractions")],
    Discriminator(lambda value: "fractions" if isinstance(value, dict | SplitSpec) else "a column"),
]


class Spec(Frozen):
    """The whole spec."""

    name: Name
    """Name of the model, in answers and metrics; the run's folder is `runs/<name>`."""
    version: Name = "1"
    """Version of the model. Increase it when you retrain."""
    table: Path
    """Path of the table, a file or a folder, relative to the spec."""
    separator: Annotated[str, AfterValidator(check_separator)] | None = None
    """Separator of a table in text. null: inferred from its lines."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark, where numbers such as `1,500` may mean two things."""
    encoding: Annotated[str, AfterValidator(check_encoding)] | None = None
    """Encoding of a table in text. null: UTF-8, or what a byte order mark says."""
    missing: tuple[str, ...] = DEFAULT_MISSING
    """Texts that are no value, beside an empty cell."""
    label: Name
    """Column of the class names."""
    min_rows: int | None = Field(default=None, ge=2)
    """Classes with fewer rows are merged into one class."""
    other: Annotated[Name | None, AfterValidator(_other)] = Field(default=None, validate_default=False)
    """Name of the merged class; needs `min_rows`."""
    split: Split = SplitSpec()
    """Column with train, val and test, or the keys of [split](#split)."""
    modalities: dict[Annotated[str, AfterValidator(_modality_name)], AnySpec] = Field(min_length=1)
    """Modalities by name; the keys of each follow from its [kind](#modalities)."""
    network: NetworkSpec = NetworkSpec()
    """See [network](#network)."""
    training: TrainingSpec = TrainingSpec()
    """See [training](#training)."""
    report: ReportSpec = ReportSpec()
    """See [report](#report)."""
    # Of the answers; None is uniform, and is what the spec of an older run has.
    prior: Annotated[str | dict[str, float] | None, PlainValidator(_prior)] = None
    """Class shares that answers hold for: `uniform` (null), `training`, `tempered`, or the share of each
    class."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of everything random. The same seed gives the same bundle."""

    @property
    def reading(self) -> Reading:
        """Return the settings for reading the table."""
        return Reading(self.separator, self.decimal, self.encoding, self.missing)


SECTIONS: dict[str, type[Frozen]] = {
    "split": SplitSpec,
    "network": NetworkSpec,
    "training": TrainingSpec,
    "training.trackers": TrackersSpec,
    "training.trackers.mlflow": MlflowSpec,
    "training.trackers.wandb": WandbSpec,
    "report": ReportSpec,
}


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """Read a spec; each override is `dotted.key=YAML`.

    Paths in it are relative to its folder. `table` comes back with that folder, files of weights with their
    absolute paths.

    Raises SpecError, one line for each mistake.

    >>> tailfuse.load_spec("spec.yaml", ["training.epochs=5"]).training.epochs
    5
    """
    path = Path(path)
    document = read_document(path)
    for override in overrides:
        document.override(override)
    spec = make_spec(document.data, lambda key: f"{document.place(key)}: ")
    modalities = {name: each.resolve_paths(path.parent) for name, each in spec.modalities.items()}
    return spec.model_copy(update={"table": path.parent / spec.table, "modalities": modalities})


def make_spec(data: dict[str, Any], place: Callable[[Key], str] = lambda _: "") -> Spec:
    """Return plain data as a spec; `place` is put before each mistake. Raises SpecError.

    >>> make_spec({"name": "leaves", "table": "leaves.csv", "label": "y", "modalities": {}})
    Traceback (most recent call last):
    ...
    tailfuse.errors.SpecError: modalities: Dictionary should have at least 1 item
    """
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        mistakes: dict[str, None] = {}  # a union can complain twice about one thing
        for each in error.errors(include_url=False):
            key, why = explain(each, data)
            mistakes[f"{place(key)}{'.'.join(key) or 'the spec'}: {why}"] = None
        raise SpecError("\n".join(mistakes)) from None


def find_key(name: str) -> str | None:
    """Return the dotted key of the spec that ends in this name, of those outside of modalities.

    >>> find_key("epochs")
    'training.epochs'
    """
    dotted = {each: each for each in Spec.model_fields}
    for section, model in SECTIONS.items():
        dotted |= {each: f"{section}.{each}" for each in model.model_fields}
    return dotted.get(name)


def explain(error: ErrorDetails, data: dict[str, Any]) -> tuple[Key, str]:
    """The key that a mistake is at, and what is wrong with it."""
    key, value = locate(error["loc"], data)
    last = str(error["loc"][-1])
    match error["type"]:
        case "missing":
            return (*key, last), "is required"
        case "union_tag_not_found":
            return (*key, "kind"), f"is required: {', '.join(KINDS)}"
        case "union_tag_invalid":
            kind = str(value["kind"])
            return (*key, "kind"), f"'{kind}' is none of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
        case "extra_forbidden":
            return key, f"unknown key{did_you_mean(last, model_at(error['loc']).model_fields)}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return key, "takes keys with values of their own"
    why = error["msg"].removeprefix("Value error, ")
    why = why.split(", unable to")[0].split(" after validation")[0]
    if isinstance(value, str) and last != "[key]":
        known = re.findall(r"'(.*?)'", why) if error["type"] == "literal_error" else ()
        why = f"{why}, not '{value}'{did_you_mean(value, known)}"
    return key, why


def locate(loc: tuple[int | str, ...], data: dict[str, Any]) -> tuple[Key, Any]:
    """The part of pydantic's `loc` that is in the data (it names branches of unions too), and its value."""
    key: list[str] = []
    value: Any = data
    for at, part in enumerate(loc):
        is_kind = loc[0] == "modalities" and at == 2
        in_mapping = isinstance(value, dict) and part in value
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if (in_mapping or in_list) and not is_kind:
            value = value[part]
            key.append(str(part))
    return tuple(key), value


def model_at(loc: tuple[int | str, ...]) -> type[Frozen]:
    """The model that refused the key at the end of `loc`."""
    if loc[0] == "modalities":
        return KINDS[str(loc[2])].spec
    above = [str(part) for part in loc[:-1]]
    while above:
        if section := SECTIONS.get(".".join(above)):
            return section
        above.pop()  # a union names its branch as well
    return Spec

"""What `manifest.json` says: one frozen model per thing, unknown keys refused."""

from collections import Counter
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tailfuse_service.modalities import AnyModality
from tailfuse_service.modalities.modality import Frozen

FORMAT_VERSION: Literal[1] = 1

Shot = Literal["many", "medium", "few"]


class ClassInfo(Frozen):
    """A class, its training rows, and its third by training rows (many, medium or few shots)."""

    name: str
    train_count: int
    shot: Shot


class Histogram(Frozen):
    """Counts between neighbouring `edges`; len(counts) == len(edges) - 1."""

    edges: tuple[float, ...]
    counts: tuple[int, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _a_count_between_two_edges(self) -> Self:
        if len(self.counts) != len(self.edges) - 1:
            raise ValueError("counts are between neighbouring edges")
        return self


class InputReference(Frozen):
    """The distribution of an input (a column, an image's brightness, …) as a histogram.

    `counts` are those up to the first of `edges`, between them, above the last, and without the input.
    """

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _counts_about_the_edges_and_of_what_is_missing(self) -> Self:
        if len(self.counts) != len(self.edges) + 2:
            raise ValueError("counts are below, between and above edges, and of what is missing")
        return self


class Reference(Frozen):
    """Statistics of one modality on the evaluated rows: the reference for drift."""

    presence: float
    weight: Histogram
    confidence: Histogram
    weight_mean: float | None = None
    confidence_mean: float | None = None
    inputs: tuple[InputReference, ...] = ()


class SubsetMetrics(Frozen):
    """Metrics of one subset of modalities; a group without rows is null, not zero."""

    rows: int
    balanced_accuracy: float | None
    macro_f1: float | None
    accuracy: float | None
    many: float | None
    medium: float | None
    few: float | None
    nll: float | None
    ece: float | None
    # Without the noise of the bins, and its 95 % interval; null for weighted rows and in older bundles.
    ece_debiased: float | None = None
    ece_low: float | None = None
    ece_high: float | None = None


class MeanAnswers(Frozen):
    """Calibration rows of each class, and the mean of the probabilities that answered them."""

    rows: tuple[int, ...]  # (C,)
    probabilities: tuple[tuple[float, ...], ...]  # (C, C): by true class; zeros where there was no row


class RowAnswers(Frozen):
    """Answers to single calibration rows, and the classes of these rows."""

    labels: tuple[int, ...]  # (H,), indices of classes
    probabilities: tuple[tuple[float, ...], ...]  # (H, C), rounded


class AdaptationCheck(Frozen):
    """Accuracy before and after adapting, on rows whose labels are known."""

    rows: int
    simulated: bool  # on rows that the bundle keeps; else cross-validated on labelled ones among the new rows
    before: float
    after: float


class GroupRecall(Frozen):
    """The mean recall of the classes of each group; null for a group of which nothing is known."""

    many: float | None
    medium: float | None
    few: float | None


class Adaptation(Frozen):
    """The class shares that `tailfuse adapt` found in rows without labels, and put into the graphs."""

    prior: dict[str, float]  # share of each class; all alike if nothing spoke against that
    shifted: bool
    p_value: float  # of the rows, were all classes equally frequent
    rows: int
    table_sha256: str
    # Of those of these rows that have labels; the labels were not used for anything else.
    before: SubsetMetrics | None
    after: SubsetMetrics | None
    # Of all rows, from their probabilities alone; null in older bundles.
    estimated_before: GroupRecall | None = None
    estimated_after: GroupRecall | None = None
    # Null if nothing changes, if too few rows have labels, and in older bundles.
    check: AdaptationCheck | None = None


class Reduction(Frozen):
    """The cost of encoders of less precision: test rows answered by both graphs."""

    precision: Literal["float16", "int8"]
    before: SubsetMetrics  # float32
    after: SubsetMetrics
    difference: float  # greatest of a probability
    bytes_before: int
    bytes_after: int


class DefaultPrior(Frozen):
    """The class shares that the bundle answers for where the service or the request names no other ones."""

    name: Literal["uniform", "training", "tempered", "given"]
    shares: dict[str, float]


class Manifest(Frozen):
    """A bundle's table of contents. The order of `modalities` is the order of all modality axes."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    version: str
    label: str
    classes: tuple[ClassInfo, ...] = Field(min_length=1)
    merged_labels: dict[str, str] = Field(default_factory=dict)  # the class of each label merged into another
    modalities: dict[str, AnyModality]
    input_schema: dict[str, Any]
    calibration: dict[str, list[float]]
    metrics: dict[str, SubsetMetrics]  # of the test rows, by subset
    # Of the validation rows, which chose the epoch and fitted the calibration. Empty in older bundles.
    validation_metrics: dict[str, SubsetMetrics] = Field(default_factory=dict)
    # Of the test rows, by the prior of the answers; rows are weighted such that the classes have their
    # training shares. Empty in older bundles.
    prior_metrics: dict[str, SubsetMetrics] = Field(default_factory=dict)
    prior: DefaultPrior | None = None  # null: that of the graphs
    reference: dict[str, Reference]
    parity: dict[str, float]
    held_out: MeanAnswers | None = None
    held_out_rows: RowAnswers | None = None  # null in older bundles
    # Inputs of test rows as JSON, the fullest first, which the service's document shows. Only if the export
    # was asked for them: whoever may read the document reads these rows.
    examples: tuple[dict[str, Any], ...] = ()
    example_labels: tuple[str, ...] = ()  # their classes; empty in older bundles
    adaptation: Adaptation | None = None  # `metrics` are those of before
    reduction: Reduction | None = None  # `metrics` are those of after
    spec: dict[str, Any]
    built_with: dict[str, str]
    files: dict[str, str]

    @model_validator(mode="after")
    def _class_names_are_unique(self) -> Self:
        name, count = Counter(self.class_names).most_common(1)[0]
        if count > 1:
            raise ValueError(f"class '{name:.80}' is there twice")
        return self

    @model_validator(mode="after")
    def _examples_have_a_class_each(self) -> Self:
        if self.example_labels and len(self.example_labels) != len(self.examples):
            raise ValueError("example_labels are as many as examples")
        return self

    @property
    def precision(self) -> Literal["float32", "float16", "int8"]:
        """Return the precision of the graph's weights; float32 unless the bundle was reduced."""
        return "float32" if self.reduction is None else self.reduction.precision

    @property
    def of(self) -> tuple[str, str]:
        """Name and version, which tell it from all others."""
        return self.name, self.version

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in the order of the outputs."""
        return [info.name for info in self.classes]

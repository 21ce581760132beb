"""Queries on results.csv and reliability.csv: the values of a method on a dataset, by seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tailfuse.errors import RunError

from tailfuse_bench.datasets import HEADLINE_IR, ORIGINAL_IR
from tailfuse_bench.methods import ADAPTED, METHODS, OURS, SPECIALIST
from tailfuse_bench.records import NEW_COLUMNS, RELIABILITY, RESULTS, Bin, Result

BASELINE_GROUPS = ("fusion", "long tail", "not neural", "rivals", "other")
ABLATION = "ablation"
NOT_BASELINES = (OURS, ADAPTED, SPECIALIST)

NAME_COLUMNS = ("set", "method", "subset", "condition", "modality")
INTEGER_COLUMNS = ("ir", "seed")
METRICS = tuple(name for name in Result._fields if name not in (*NAME_COLUMNS, *INTEGER_COLUMNS, "level"))
Values = dict[int, float]  # by seed
ScoreKey = tuple[str, int, str, str, str, str, float]  # set, ir, method, condition, modality, subset, level


@dataclass(frozen=True, slots=True)
class Scores:
    """All results. `full` names all modalities of a dataset, `headline` is its ratio in the headline."""

    measurements: Mapping[ScoreKey, Mapping[int, Mapping[str, float | None]]]
    bins: pl.DataFrame | None
    full: Mapping[str, str]
    headline: Mapping[str, int]
    headline_ir: int
    subsets: Mapping[str, list[str]]
    conditions: list[str]
    methods: list[str]

    def values(
        self,
        data_set: str,
        method: str,
        metric: str = "balanced_accuracy",
        *,
        ir: int | None = None,
        condition: str = "clean",
        modality: str = "",
        subset: str | None = None,
        level: float = 0.0,
    ) -> Values:
        """Return the values by seed; `ir` defaults to the headline's ratio, `subset` to all modalities."""
        at = self.headline.get(data_set) if ir is None else ir
        if at is None:
            return {}
        whole = condition == "clean" and not modality
        part = (subset or self.full[data_set]) if whole else ""
        by_seed = self.measurements.get((data_set, at, method, condition, modality, part, level), {})
        found = {seed: row[metric] for seed, row in sorted(by_seed.items())}
        return {seed: value for seed, value in found.items() if value is not None}

    @property
    def sets(self) -> list[str]:
        """The datasets of the headline."""
        return sorted(self.headline)

    @property
    def ratios(self) -> list[int]:
        """All ratios in rising order; ORIGINAL_IR comes last."""
        found = {key[1] for key in self.measurements}
        return sorted(found - {ORIGINAL_IR}) + ([ORIGINAL_IR] if ORIGINAL_IR in found else [])

    @property
    def seeds(self) -> list[int]:
        """The seeds that have results."""
        return sorted({seed for by_seed in self.measurements.values() for seed in by_seed})

    @property
    def baselines(self) -> list[str]:
        """All methods but ours and its ablations, group by group."""
        return [method for group in BASELINE_GROUPS for method in self.group(group)]

    @property
    def ablations(self) -> list[str]:
        """The ablations that have results."""
        return self.group(ABLATION)

    def group(self, name: str) -> list[str]:
        """Return the methods of a group in the table; unknown methods are in the group `other`."""
        known = [method.name for method in METHODS.values() if method.group == name]
        if name == "other":
            known = [method for method in self.methods if method not in METHODS]
        return [method for method in known if method in self.methods and method not in NOT_BASELINES]

    def modalities(self, data_set: str) -> list[str]:
        """The modalities of a dataset."""
        return self.full[data_set].split("+")

    def levels(self, data_set: str, condition: str) -> list[float]:
        """The levels of a condition, such as noise, that a dataset has."""
        return sorted({key[6] for key in self.measurements if key[0] == data_set and key[3] == condition})


def pair_differences(ours: Values, theirs: Values) -> list[float]:
    """Subtract theirs from ours, for the seeds that both have."""
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def mean(values: Iterable[float]) -> float | None:
    """Return the mean; None without values."""
    found = list(values)
    return sum(found) / len(found) if found else None


def read_scores(out: Path) -> Scores:
    """Read the tables that `tailfuse bench` wrote. Raises RunError; reliability.csv may be missing."""
    results = read_columns(out / RESULTS, Result._fields)
    path = out / RELIABILITY
    return make_scores(results, read_columns(path, Bin._fields) if path.exists() else None)


def make_scores(results: pl.DataFrame, bins: pl.DataFrame | None) -> Scores:
    """Index the tables."""
    clean = results.filter((pl.col("condition") == "clean") & (pl.col("modality") == ""))
    subsets: dict[str, list[str]] = {}
    for name, subset in clean.select("set", "subset").unique(maintain_order=True).iter_rows():
        subsets.setdefault(name, []).append(subset)
    for found in subsets.values():
        found.sort(key=lambda subset: (subset.count("+"), subset))
    full = dict(
        results.filter(pl.col("condition").str.starts_with("missing_")).select("set", "subset").iter_rows()
    ) | {name: found[-1] for name, found in subsets.items()}
    ratios = sorted({ir for ir in clean["ir"] if ir != ORIGINAL_IR})
    headline_ir = HEADLINE_IR if HEADLINE_IR in ratios or not ratios else ratios[-1]
    has = set(clean.select("set", "ir").iter_rows())
    headline = {
        name: ir for ir in (ORIGINAL_IR, headline_ir) for name in subsets if (name, ir) in has
    }  # a thinned dataset takes precedence over its original frequencies
    measurements: dict[ScoreKey, dict[int, dict[str, float | None]]] = {}
    for row in results.iter_rows(named=True):
        whole = row["condition"] == "clean" and not row["modality"]
        if not whole and row["subset"] not in ("", full.get(row["set"], "")):
            continue  # weights and corruptions are reported for all modalities only
        level = row["level"] if row["condition"] == "noise_added" else None
        key = (
            row["set"], row["ir"], row["method"], row["condition"], row["modality"],
            row["subset"] if whole else "", level or 0.0,
        )  # fmt: skip
        measurements.setdefault(key, {})[row["seed"]] = {metric: row[metric] for metric in METRICS}
    return Scores(
        measurements,
        bins,
        full,
        headline,
        headline_ir,
        subsets,
        conditions=results["condition"].unique(maintain_order=True).to_list(),
        methods=results["method"].unique(maintain_order=True).to_list(),
    )


def read_columns(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Read the named columns of a CSV file; empty names become "", empty and NaN numbers null."""
    if not path.exists():
        raise RunError(f"{path} does not exist: run `tailfuse bench` first")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise RunError(f"{path} is empty") from error
    table = table.with_columns(
        pl.lit(None, pl.String).alias(name)
        for name in NEW_COLUMNS
        if name in columns and name not in table.columns
    )
    for name in columns:
        if name not in table.columns:
            raise RunError(f"{path}: column {name!r} is missing")
    try:
        table = table.select(pl.col(name).cast(column_type(name)) for name in columns)
    except pl.exceptions.InvalidOperationError as error:
        raise RunError(f"{path}: {str(error).splitlines()[0]}") from error
    return table.with_columns(pl.col(pl.String).fill_null(""), pl.col(pl.Float64).fill_nan(None))


def column_type(column: str) -> type[pl.DataType]:
    """Return the type of a column."""
    if column in NAME_COLUMNS:
        return pl.String
    return pl.Int64 if column in INTEGER_COLUMNS else pl.Float64

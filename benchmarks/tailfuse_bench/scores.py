"""results.csv and reliability.csv as something to ask: the values of a method on a set, by seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tailfuse.errors import RunError

from tailfuse_bench.datasets import HEADLINE_IR, OWN_TAIL
from tailfuse_bench.methods import ADAPTED, METHODS, OURS, SPECIALIST
from tailfuse_bench.records import RELIABILITY, RESULTS, Bin, Result

BASELINE_GROUPS = ("fusion", "long tail", "not neural", "other")
ABLATION = "ablation"
NOT_BASELINES = (OURS, ADAPTED, SPECIALIST)

NAMES = ("set", "method", "subset", "condition", "modality")
WHOLE = ("ir", "seed")
METRICS = tuple(name for name in Result._fields if name not in (*NAMES, *WHOLE, "level"))
Values = dict[int, float]  # by seed
Place = tuple[str, int, str, str, str, str, float]  # set, ir, method, condition, modality, subset, level


@dataclass(frozen=True, slots=True)
class Scores:
    """All results. `full` is the subset of all modalities of a set, `headline` its ratio for the headline."""

    measured: Mapping[Place, Mapping[int, Mapping[str, float | None]]]
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
        """By seed; without `ir` at the set's headline ratio, without `subset` of all modalities."""
        at = self.headline.get(data_set) if ir is None else ir
        if at is None:
            return {}
        whole = condition == "clean" and not modality
        part = (subset or self.full[data_set]) if whole else ""
        by_seed = self.measured.get((data_set, at, method, condition, modality, part, level), {})
        found = {seed: row[metric] for seed, row in sorted(by_seed.items())}
        return {seed: value for seed, value in found.items() if value is not None}

    @property
    def sets(self) -> list[str]:
        """The sets of the headline."""
        return sorted(self.headline)

    @property
    def ratios(self) -> list[int]:
        """Rising; a set's own tail is last."""
        found = {place[1] for place in self.measured}
        return sorted(found - {OWN_TAIL}) + ([OWN_TAIL] if OWN_TAIL in found else [])

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for by_seed in self.measured.values() for seed in by_seed})

    @property
    def baselines(self) -> list[str]:
        """All methods that are not ours nor a part of ours taken away, group by group."""
        return [method for group in BASELINE_GROUPS for method in self.group(group)]

    @property
    def ablations(self) -> list[str]:
        return self.group(ABLATION)

    def group(self, name: str) -> list[str]:
        """The methods of a group that the table has; those that are not known by now are in `other`."""
        known = [method.name for method in METHODS.values() if method.group == name]
        if name == "other":
            known = [method for method in self.methods if method not in METHODS]
        return [method for method in known if method in self.methods and method not in NOT_BASELINES]

    def modalities(self, data_set: str) -> list[str]:
        return self.full[data_set].split("+")

    def levels(self, data_set: str, condition: str) -> list[float]:
        return sorted({place[6] for place in self.measured if place[0] == data_set and place[3] == condition})


def differences(ours: Values, theirs: Values) -> list[float]:
    """Ours minus theirs, of the seeds that both have."""
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def mean(values: Iterable[float]) -> float | None:
    """None if there are no values."""
    found = list(values)
    return sum(found) / len(found) if found else None


def read_scores(out: Path) -> Scores:
    """Read what `tailfuse bench` wrote into `out`. Raises RunError; reliability.csv may be missing."""
    results = read(out / RESULTS, Result._fields)
    path = out / RELIABILITY
    return scores_of(results, read(path, Bin._fields) if path.exists() else None)


def scores_of(results: pl.DataFrame, bins: pl.DataFrame | None) -> Scores:
    """The tables, put in order."""
    clean = results.filter((pl.col("condition") == "clean") & (pl.col("modality") == ""))
    subsets: dict[str, list[str]] = {}
    for name, subset in clean.select("set", "subset").unique(maintain_order=True).iter_rows():
        subsets.setdefault(name, []).append(subset)
    for found in subsets.values():
        found.sort(key=lambda subset: (subset.count("+"), subset))
    full = {name: found[-1] for name, found in subsets.items()}
    ratios = sorted({ir for ir in clean["ir"] if ir != OWN_TAIL})
    headline_ir = HEADLINE_IR if HEADLINE_IR in ratios or not ratios else ratios[-1]
    has = set(clean.select("set", "ir").iter_rows())
    headline = {
        name: ir for ir in (OWN_TAIL, headline_ir) for name in subsets if (name, ir) in has
    }  # a set thinned to the ratio counts as that
    measured: dict[Place, dict[int, dict[str, float | None]]] = {}
    for row in results.iter_rows(named=True):
        whole = row["condition"] == "clean" and not row["modality"]
        if not whole and row["subset"] not in ("", full.get(row["set"], "")):
            continue  # weights and damage are reported of all modalities
        level = row["level"] if row["condition"] == "noise_added" else None
        place = (
            row["set"], row["ir"], row["method"], row["condition"], row["modality"],
            row["subset"] if whole else "", level or 0.0,
        )  # fmt: skip
        measured.setdefault(place, {})[row["seed"]] = {metric: row[metric] for metric in METRICS}
    return Scores(
        measured,
        bins,
        full,
        headline,
        headline_ir,
        subsets,
        conditions=results["condition"].unique(maintain_order=True).to_list(),
        methods=results["method"].unique(maintain_order=True).to_list(),
    )


def read(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """The named columns of a CSV file; an empty name is "", an empty or NaN number null."""
    if not path.exists():
        raise RunError(f"{path} does not exist: run `tailfuse bench` first")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise RunError(f"{path} is empty") from error
    for name in columns:
        if name not in table.columns:
            raise RunError(f"{path}: column {name!r} is missing")
    try:
        table = table.select(pl.col(name).cast(kind_of(name)) for name in columns)
    except pl.exceptions.InvalidOperationError as error:
        raise RunError(f"{path}: {str(error).splitlines()[0]}") from error
    return table.with_columns(pl.col(pl.String).fill_null(""), pl.col(pl.Float64).fill_nan(None))


def kind_of(column: str) -> type[pl.DataType]:
    """How a column of the tables is read."""
    if column in NAMES:
        return pl.String
    return pl.Int64 if column in WHOLE else pl.Float64

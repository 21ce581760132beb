"""Section 5: calibration of probabilities and confidences."""

import math

import polars as pl

from tailfuse_bench.figures import Chart, Figure, make_chart
from tailfuse_bench.methods import OURS
from tailfuse_bench.records import DEBIASED
from tailfuse_bench.scores import Scores, mean
from tailfuse_bench.sections.headline import label_dataset
from tailfuse_bench.sections.section import Section, Target, make_status
from tailfuse_bench.statistics import summarise
from tailfuse_bench.tables import NOTHING, Cell, Row, Table, decimal_cell, join_names

TITLE = "Calibration"
ECE_TARGET = "ECE of the final probabilities at most 0.05 on every subset."
AUROC_TARGET = "AUROC of a modality’s confidence against the correctness of its own prediction."
MAX_ECE = 0.05


def make_section(scores: Scores) -> Section:
    """Make the section on ECE and the AUROC of confidences."""
    errors = collect_errors(scores)
    rocs = collect_aurocs(scores)
    tables = [make_dataset_table(scores, errors)] if errors else []
    if rocs:
        tables.append(make_auroc_table(scores))
    if errors:
        tables.append(make_subset_table(scores, errors))
    return Section(
        TITLE,
        [make_error_target(errors), make_auroc_target(rocs)],
        note="ECE: 15 equal-mass bins of the top probability, mean over seeds. On few test rows part of it "
        "is noise of the bins: “of a perfect model” is the expected ECE of a perfectly calibrated model on "
        "as many rows. AUROC 0.5 is chance, 1 perfect.",
        tables=tables,
        figures=make_reliability_figures(scores),
    )


def collect_errors(scores: Scores) -> dict[tuple[str, str], float]:
    """Collect our mean ECE over seeds, by dataset and subset."""
    found = {
        (name, subset): mean(scores.values(name, OURS, "ece", subset=subset).values())
        for name in scores.sets
        for subset in scores.subsets[name]
    }
    return {place: error for place, error in found.items() if error is not None}


def collect_aurocs(scores: Scores) -> dict[tuple[str, str], float]:
    """Collect our mean AUROC over seeds, by dataset and modality."""
    found = {
        (name, modality): mean(scores.values(name, OURS, "auroc", modality=modality).values())
        for name in scores.sets
        for modality in scores.modalities(name)
    }
    return {place: value for place, value in found.items() if value is not None}


def make_error_target(errors: dict[tuple[str, str], float]) -> Target:
    """Count the subsets whose ECE is at most the target, and name the others."""
    if not errors:
        return Target(ECE_TARGET, f"Not in this table: the ECE of {OURS}.", "open")
    over = sorted((place for place in errors if errors[place] > MAX_ECE), key=lambda place: -errors[place])
    text = f"At most 0.05 on {len(errors) - len(over)} of {len(errors)} subsets, "
    text += f"{mean(errors.values()):.3f} on average."
    if over:
        named = [f"{name} {subset} ({errors[name, subset]:.3f})" for name, subset in over]
        text += f" Above: {join_names(named)}."
    return Target(ECE_TARGET, text, make_status(not over))


def make_auroc_target(rocs: dict[tuple[str, str], float]) -> Target:
    """Report the mean and the lowest AUROC; there is no figure to reach."""
    if not rocs:
        return Target(AUROC_TARGET, "Not in this table: the AUROC of confidences.", "open")
    name, modality = min(rocs, key=lambda place: rocs[place])
    text = f"{mean(rocs.values()):.3f} on average over {len(rocs)} modalities; "
    return Target(AUROC_TARGET, f"{text}lowest {rocs[name, modality]:.3f} ({name} {modality}).", "shown")


def make_dataset_table(scores: Scores, errors: dict[tuple[str, str], float]) -> Table:
    """Return one row per dataset, with the ECE of all modalities and of its subsets."""
    rows = []
    for name in scores.sets:
        subset_errors = {subset: error for (at, subset), error in errors.items() if at == name}
        if subset_errors:
            worst = max(subset_errors, key=lambda subset: subset_errors[subset])
            within = sum(error <= MAX_ECE for error in subset_errors.values())
            rows.append(
                Row(
                    label_dataset(scores, name),
                    [
                        decimal_cell(subset_errors.get(scores.full[name])),
                        decimal_cell(expected_bin_noise(scores, name)),
                        decimal_cell(mean(subset_errors.values())),
                        error_cell(subset_errors[worst]),
                        Cell(worst.replace("+", " + ")),
                        Cell(f"{within} of {len(subset_errors)}"),
                    ],
                )
            )
    head = [
        "set", "all modalities", "of a perfect model", "mean over subsets", "worst subset", "which",
        "at most 0.05",
    ]  # fmt: skip
    return Table(f"Expected calibration error of {OURS}", head, rows)


def expected_bin_noise(scores: Scores, name: str) -> float | None:
    """Return the expected ECE of a perfectly calibrated model, all modalities, mean over seeds.

    Among n predictions of probability p, accuracy differs from p by sqrt(2 p (1 - p) / (pi n)) on average.
    """
    bins = select_bins(scores, name)
    if bins is None or not len(bins):
        return None
    p, n = pl.col("confidence"), pl.col("bin_rows")
    error = (2 * p * (1 - p) / (math.pi * n)).sqrt()
    by_seed = bins.group_by("seed").agg(((error * n).sum() / n.sum()).alias("noise"))
    return mean(by_seed["noise"])


def error_cell(error: float | None) -> Cell:
    """Format an ECE, marked where it is above the target."""
    cell = decimal_cell(error)
    return Cell(cell.text, tone="loss") if error is not None and error > MAX_ECE else cell


def make_auroc_table(scores: Scores) -> Table:
    """Return one row per modality, with its AUROC and its mean weight."""
    rows = []
    for name in scores.sets:
        for modality in scores.modalities(name):
            roc = summarise(list(scores.values(name, OURS, "auroc", modality=modality).values()))
            weight = mean(scores.values(name, OURS, "weight", modality=modality).values())
            if roc:
                sd = "" if roc.sd is None else f" ± {roc.sd:.3f}"
                rows.append(
                    Row(f"{name}: {modality}", [Cell(f"{roc.mean:.3f}{sd}"), decimal_cell(weight, 2)])
                )
    return Table("AUROC of a modality’s confidence", ["modality", "AUROC", "mean weight"], rows, folded=True)


def make_subset_table(scores: Scores, errors: dict[tuple[str, str], float]) -> Table:
    """Return the ECE of every subset of every dataset."""
    rows = []
    for name in scores.sets:
        rows.append(Row(name))
        for subset in scores.subsets[name]:
            worst = max(scores.values(name, OURS, "ece", subset=subset).values(), default=None)
            debiased, low, high = (
                mean(scores.values(name, OURS, metric, subset=subset).values()) for metric in DEBIASED
            )
            cells = [
                error_cell(errors.get((name, subset))),
                decimal_cell(worst),
                decimal_cell(debiased),
                Cell(NOTHING if low is None or high is None else f"{low:.3f} to {high:.3f}"),
            ]
            rows.append(Row(subset.replace("+", " + "), cells))
    head = ["subset", "mean over seeds", "worst seed", "debiased", "its 95 % interval, mean over seeds"]
    return Table("ECE of every subset", head, rows, folded=True)


def make_reliability_figures(scores: Scores) -> list[Figure]:
    """Draw one diagram per dataset: all modalities, headline ratio, seeds pooled bin by bin."""
    charts: list[Chart] = []
    for name in scores.sets:
        points = pool_bins(scores, name)
        if points:
            charts.append(
                make_chart(name, {OURS: points}, {OURS: 0}, y_range=(0, 1), diagonal=True),
            )
    if not charts:
        return []
    caption = (
        "Reliability, all modalities: accuracy against mean probability, in equal-mass bins pooled over "
        "seeds. Dashed: perfect calibration. Below it: overconfident."
    )
    return [Figure(caption, charts)]


def select_bins(scores: Scores, name: str) -> pl.DataFrame | None:
    """Return our reliability bins of a dataset: headline ratio, all modalities."""
    if scores.bins is None:
        return None
    return scores.bins.filter(
        (pl.col("set") == name)
        & (pl.col("ir") == scores.headline[name])
        & (pl.col("method") == OURS)
        & (pl.col("subset") == scores.full[name])
        & (pl.col("bin_rows") > 0)
    ).drop_nulls(["confidence", "accuracy"])


def pool_bins(scores: Scores, name: str) -> list[tuple[float, float]]:
    """Pool the k-th bins of all seeds into one point, weighted by rows."""
    bins = select_bins(scores, name)
    if bins is None:
        return []
    bins = bins.with_columns(pl.col("confidence").rank("ordinal").over("seed").alias("bin"))
    weighted = [
        ((pl.col(column) * pl.col("bin_rows")).sum() / pl.col("bin_rows").sum()).alias(column)
        for column in ("confidence", "accuracy")
    ]
    table = bins.group_by("bin").agg(weighted).sort("bin")
    return list(table.select("confidence", "accuracy").iter_rows())

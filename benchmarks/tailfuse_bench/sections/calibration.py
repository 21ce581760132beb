"""Section 5: confidences tell right from wrong, and probabilities mean what they say."""

import math

import polars as pl

from tailfuse_bench.figures import Chart, Figure, chart
from tailfuse_bench.methods import OURS
from tailfuse_bench.scores import Scores, mean
from tailfuse_bench.sections.headline import labelled
from tailfuse_bench.sections.section import Aim, Section, judged
from tailfuse_bench.statistics import spread
from tailfuse_bench.tables import Cell, Row, Table, decimal_cell, listed

TITLE = "Honest confidence"
ECE_AIM = "ECE of the final probabilities at most 0.05 on every subset."
AUROC_AIM = "AUROC of a modality’s confidence against its own head being right."
MOST_ECE = 0.05


def section(scores: Scores) -> Section:
    errors = calibration_errors(scores)
    rocs = aurocs(scores)
    tables = [by_set(scores, errors)] if errors else []
    if rocs:
        tables.append(auroc_table(scores))
    if errors:
        tables.append(by_subset(scores, errors))
    return Section(
        TITLE,
        [small_errors(errors), telling(rocs)],
        note="ECE: 15 equal-mass bins of the top probability, mean over seeds. On few test rows part of it "
        "is the bins’ own noise: “of a perfect model” is what one whose probabilities were exactly right "
        "would show on as many rows. AUROC 0.5 is chance, 1 perfect.",
        tables=tables,
        figures=reliability_figures(scores),
    )


def calibration_errors(scores: Scores) -> dict[tuple[str, str], float]:
    """Mean over seeds, by set and subset."""
    found = {
        (name, subset): mean(scores.values(name, OURS, "ece", subset=subset).values())
        for name in scores.sets
        for subset in scores.subsets[name]
    }
    return {place: error for place, error in found.items() if error is not None}


def aurocs(scores: Scores) -> dict[tuple[str, str], float]:
    found = {
        (name, modality): mean(scores.values(name, OURS, "auroc", modality=modality).values())
        for name in scores.sets
        for modality in scores.modalities(name)
    }
    return {place: value for place, value in found.items() if value is not None}


def small_errors(errors: dict[tuple[str, str], float]) -> Aim:
    if not errors:
        return Aim(ECE_AIM, f"Not in this table: the ECE of {OURS}.", "open")
    over = sorted((place for place in errors if errors[place] > MOST_ECE), key=lambda place: -errors[place])
    text = f"At most 0.05 on {len(errors) - len(over)} of {len(errors)} subsets, "
    text += f"{mean(errors.values()):.3f} on average."
    if over:
        text += (
            f" Above: {listed([f'{name} {subset} ({errors[name, subset]:.3f})' for name, subset in over])}."
        )
    return Aim(ECE_AIM, text, judged(not over))


def telling(rocs: dict[tuple[str, str], float]) -> Aim:
    if not rocs:
        return Aim(AUROC_AIM, "Not in this table: the AUROC of confidences.", "open")
    name, modality = min(rocs, key=lambda place: rocs[place])
    text = f"{mean(rocs.values()):.3f} on average over {len(rocs)} modalities; "
    return Aim(AUROC_AIM, f"{text}lowest {rocs[name, modality]:.3f} ({name} {modality}).", "shown")


def by_set(scores: Scores, errors: dict[tuple[str, str], float]) -> Table:
    rows = []
    for name in scores.sets:
        of_set = {subset: error for (at, subset), error in errors.items() if at == name}
        if of_set:
            worst = max(of_set, key=lambda subset: of_set[subset])
            within = sum(error <= MOST_ECE for error in of_set.values())
            rows.append(
                Row(
                    labelled(scores, name),
                    [
                        decimal_cell(of_set.get(scores.full[name])),
                        decimal_cell(bins_noise(scores, name)),
                        decimal_cell(mean(of_set.values())),
                        error_cell(of_set[worst]),
                        Cell(worst.replace("+", " + ")),
                        Cell(f"{within} of {len(of_set)}"),
                    ],
                )
            )
    head = [
        "set", "all modalities", "of a perfect model", "mean over subsets", "worst subset", "which",
        "at most 0.05",
    ]  # fmt: skip
    return Table(f"Expected calibration error of {OURS}", head, rows)


def bins_noise(scores: Scores, name: str) -> float | None:
    """The ECE that a perfectly calibrated model would be expected to have, all modalities, mean over seeds.

    Of n answers of probability p the share that is right is off by sqrt(2 p (1 - p) / (pi n)) on average.
    """
    bins = own_bins(scores, name)
    if bins is None or not len(bins):
        return None
    p, n = pl.col("confidence"), pl.col("bin_rows")
    off = (2 * p * (1 - p) / (math.pi * n)).sqrt()
    by_seed = bins.group_by("seed").agg(((off * n).sum() / n.sum()).alias("noise"))
    return mean(by_seed["noise"])


def error_cell(error: float | None) -> Cell:
    cell = decimal_cell(error)
    return Cell(cell.text, tone="loss") if error is not None and error > MOST_ECE else cell


def auroc_table(scores: Scores) -> Table:
    rows = []
    for name in scores.sets:
        for modality in scores.modalities(name):
            roc = spread(list(scores.values(name, OURS, "auroc", modality=modality).values()))
            weight = mean(scores.values(name, OURS, "weight", modality=modality).values())
            if roc:
                sd = "" if roc.sd is None else f" ± {roc.sd:.3f}"
                rows.append(
                    Row(f"{name}: {modality}", [Cell(f"{roc.mean:.3f}{sd}"), decimal_cell(weight, 2)])
                )
    return Table("AUROC of a modality’s confidence", ["modality", "AUROC", "mean weight"], rows, folded=True)


def by_subset(scores: Scores, errors: dict[tuple[str, str], float]) -> Table:
    rows = []
    for name in scores.sets:
        rows.append(Row(name))
        for subset in scores.subsets[name]:
            worst = max(scores.values(name, OURS, "ece", subset=subset).values(), default=None)
            cells = [error_cell(errors.get((name, subset))), decimal_cell(worst)]
            rows.append(Row(subset.replace("+", " + "), cells))
    return Table("ECE of every subset", ["subset", "mean over seeds", "worst seed"], rows, folded=True)


def reliability_figures(scores: Scores) -> list[Figure]:
    """One diagram a set: all modalities, headline ratio, seeds pooled bin by bin."""
    charts: list[Chart] = []
    for name in scores.sets:
        points = pooled(scores, name)
        if points:
            charts.append(
                chart(name, {OURS: points}, {OURS: 0}, y_range=(0, 1), diagonal=True),
            )
    if not charts:
        return []
    caption = (
        "Reliability, all modalities: the share of answers that is right against their mean probability, in "
        "equal-mass bins pooled over seeds. Dashed: perfect. Below it, too sure."
    )
    return [Figure(caption, charts)]


def own_bins(scores: Scores, name: str) -> pl.DataFrame | None:
    """Our reliability bins of a set at the headline's ratio, all modalities."""
    if scores.bins is None:
        return None
    return scores.bins.filter(
        (pl.col("set") == name)
        & (pl.col("ir") == scores.headline[name])
        & (pl.col("method") == OURS)
        & (pl.col("subset") == scores.full[name])
        & (pl.col("bin_rows") > 0)
    ).drop_nulls(["confidence", "accuracy"])


def pooled(scores: Scores, name: str) -> list[tuple[float, float]]:
    """The k-th bins of all seeds as one point, weighted by their rows."""
    bins = own_bins(scores, name)
    if bins is None:
        return []
    bins = bins.with_columns(pl.col("confidence").rank("ordinal").over("seed").alias("bin"))
    weighted = [
        ((pl.col(column) * pl.col("bin_rows")).sum() / pl.col("bin_rows").sum()).alias(column)
        for column in ("confidence", "accuracy")
    ]
    table = bins.group_by("bin").agg(weighted).sort("bin")
    return list(table.select("confidence", "accuracy").iter_rows())

"""Section 10: every measure of every method by set, with all modalities and with some missing at random."""

from collections.abc import Sequence

from tailfuse_bench.datasets import DATASETS
from tailfuse_bench.methods import METHODS, OURS, RIVALS
from tailfuse_bench.scores import Scores, mean
from tailfuse_bench.sections.cost import format_amount
from tailfuse_bench.sections.headline import group_rows
from tailfuse_bench.sections.section import Section, Target, make_absent_section
from tailfuse_bench.tables import NOTHING, Cell, Row, Table, decimal_cell, join_names, share_cell

TITLE = "Every measure, by set"
TARGET = "Accuracy, few-shot recall, likelihood, calibration and costs of every method and every rival."
SHARES = {"balanced_accuracy": "balanced accuracy, %", "accuracy": "accuracy, %", "few": "few-shot recall, %"}
DECIMALS = {"nll": "NLL, nats", "ece": "ECE", "ece_debiased": "ECE, debiased"}
COSTS = {
    "train_seconds": "training, CPU s",
    "size_bytes": "size, MB",
    "predict_microseconds": "inference, µs a row",
}
MEGABYTE = 1e6
MISSING = "missing_"


def make_section(scores: Scores) -> Section:
    """Make the section with all measures."""
    conditions = ["clean", *(each for each in scores.conditions if each.startswith(MISSING))]
    tables = [
        table
        for condition in conditions
        for name in sorted(scores.full)
        if (table := make_table(scores, name, condition))
    ]
    if not tables:
        return make_absent_section(TITLE, TARGET, "methods on clean rows")
    return Section(
        TITLE,
        [Target(TARGET, describe_rivals(scores), "shown")],
        note="Mean over seeds. Size: the file of what answering takes; size and inference are without frozen "
        "encoders of images, and without those of texts but for networks’ inference. Rivals take the "
        "features of frozen encoders as columns, raw texts where they can, and NaN for a missing modality.",
        tables=tables,
    )


def describe_rivals(scores: Scores) -> str:
    """Name the rivals that have results, and those that have none."""
    has_text = any(name in DATASETS and DATASETS[name].has_text for name in scores.full)
    every = [
        name
        for name, method in METHODS.items()
        if method.group == RIVALS and (has_text or not method.needs_text)
    ]
    present = scores.group(RIVALS)
    absent = [name for name in every if name not in present]
    if not present:
        return f"Not in this table: rivals ({join_names(absent)}), which `tailfuse bench --rivals` runs."
    text = f"Rivals: {join_names(present)}."
    if absent:
        text += f" Not installed or not run: {join_names(absent)}; bench.json has the installed versions."
    return text


def make_table(scores: Scores, name: str, condition: str) -> Table | None:
    """Return the measures of all methods on one dataset; None if there are none.

    report.md has the tables with rivals and those with missing modalities.
    """
    ir = find_ratio(scores, name, condition)
    if ir is None:
        return None
    costs = "cost" if condition == "clean" else condition

    def average(method: str, metric: str) -> float | None:
        """Average a metric over seeds."""
        at = costs if metric in COSTS else condition
        return mean(scores.values(name, method, metric, ir=ir, condition=at).values())

    def make_row(method: str) -> Row:
        """Return the row of one method."""
        cells = [share_cell(average(method, metric)) for metric in SHARES]
        cells += [decimal_cell(average(method, metric)) for metric in DECIMALS]
        cells += [cost_cell(average(method, metric), metric) for metric in COSTS]
        return Row(method, cells, ours=method == OURS)

    rows = drop_empty_rows([make_row(OURS), *group_rows(scores, make_row)])
    has_rivals = any(row.name in scores.group(RIVALS) for row in rows)
    return Table(
        f"{name}, {describe_condition(condition)}",
        ["method", *SHARES.values(), *DECIMALS.values(), *COSTS.values()],
        rows,
        folded=True,
        brief=has_rivals or condition != "clean",
    )


def find_ratio(scores: Scores, name: str, condition: str) -> int | None:
    """Return the ratio of the headline, or the largest that has results; None if there are none."""
    found = {key[1] for key in scores.measurements if key[0] == name and key[3] == condition and not key[4]}
    headline = scores.headline.get(name)
    return headline if headline in found else max(found, default=None)


def drop_empty_rows(rows: Sequence[Row]) -> list[Row]:
    """Leave out the methods without results, and the headings of groups that have none left."""
    kept: list[Row] = []
    for row in rows:
        if row.cells and all(cell.text == NOTHING for cell in row.cells):
            continue
        if not row.cells and kept and not kept[-1].cells:
            kept.pop()
        kept.append(row)
    return kept[:-1] if kept and not kept[-1].cells else kept


def cost_cell(value: float | None, metric: str) -> Cell:
    """Format a cost; a size is in megabytes."""
    scaled = value / MEGABYTE if value is not None and metric == "size_bytes" else value
    return Cell(format_amount(scaled))


def describe_condition(condition: str) -> str:
    """Describe a condition: `30 % of the modalities missing`."""
    if condition == "clean":
        return "all modalities"
    return f"{condition.removeprefix(MISSING)} % of the modalities missing in training and test rows"

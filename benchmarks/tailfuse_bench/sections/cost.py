"""Section 6: parameters, training time and inference time, against concatenation."""

from tailfuse_bench.methods import CONCAT, OURS
from tailfuse_bench.scores import Scores, mean
from tailfuse_bench.sections.headline import label_dataset
from tailfuse_bench.sections.section import Section, Target, make_absent_section
from tailfuse_bench.tables import NOTHING, Cell, Row, Table

TITLE = "Cost"
TARGET = "Parameters, training seconds and inference microseconds against concatenation."
COLUMNS = {
    "parameters": "parameters",
    "train_seconds": "training, s",
    "predict_microseconds": "inference, µs a row",
}


def make_section(scores: Scores) -> Section:
    """Make the section on parameters and times."""
    if not any(get_cost(scores, name, OURS, column) for name in scores.sets for column in COLUMNS):
        return make_absent_section(TITLE, TARGET, f"the cost of {OURS}")
    return Section(
        TITLE,
        [make_target(scores)],
        note="Mean over seeds, measured during the benchmark: times depend on its machine and its load.",
        tables=[make_table(scores)],
    )


def get_cost(scores: Scores, name: str, method: str, column: str) -> float | None:
    """Return a method's mean cost over seeds."""
    return mean(scores.values(name, method, column, condition="cost").values())


def get_ratio(scores: Scores, name: str, column: str) -> float | None:
    """Return our cost divided by that of concatenation."""
    ours, theirs = (get_cost(scores, name, method, column) for method in (OURS, CONCAT))
    return ours / theirs if ours is not None and theirs else None


def make_target(scores: Scores) -> Target:
    """Return the range of each ratio over datasets."""
    parts = []
    for column, spelling in COLUMNS.items():
        found = [value for name in scores.sets if (value := get_ratio(scores, name, column)) is not None]
        if found:
            parts.append(f"{spelling.split(',')[0]} {min(found):.1f} to {max(found):.1f} times")
    text = f"{', '.join(parts)} those of {CONCAT}." if parts else f"Not in this table: the cost of {CONCAT}."
    return Target(TARGET, text[0].upper() + text[1:], "shown" if parts else "open")


def make_table(scores: Scores) -> Table:
    """Return one row per dataset, with both costs and their ratio."""
    rows = []
    for name in scores.sets:
        cells = []
        for column in COLUMNS:
            ours, theirs = (get_cost(scores, name, method, column) for method in (OURS, CONCAT))
            times = get_ratio(scores, name, column)
            cells += [Cell(format_amount(ours)), Cell(format_amount(theirs))]
            cells.append(Cell(NOTHING if times is None else f"{times:.1f}×"))
        rows.append(Row(label_dataset(scores, name), cells))
    head = ["set"]
    for spelling in COLUMNS.values():
        head += [f"{spelling}: ours", CONCAT, "ratio"]
    return Table(f"Cost of {OURS} and of {CONCAT}", head, rows)


def format_amount(value: float | None) -> str:
    """Format with three digits; from 100 up, as an integer with thousands separators."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

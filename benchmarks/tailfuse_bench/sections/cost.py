"""Section 6: parameters, training time and inference time, beside concatenation's."""

from tailfuse_bench.methods import CONCAT, OURS
from tailfuse_bench.scores import Scores, mean
from tailfuse_bench.sections.headline import labelled
from tailfuse_bench.sections.section import Aim, Section, absent
from tailfuse_bench.tables import NOTHING, Cell, Row, Table

TITLE = "Cost"
AIM = "Parameters, training seconds and inference microseconds beside concatenation’s."
COLUMNS = {
    "parameters": "parameters",
    "train_seconds": "training, s",
    "predict_microseconds": "inference, µs a row",
}


def section(scores: Scores) -> Section:
    if not any(cost(scores, name, OURS, column) for name in scores.sets for column in COLUMNS):
        return absent(TITLE, AIM, f"the cost of {OURS}")
    return Section(
        TITLE,
        [outcome(scores)],
        note="Mean over seeds, as measured while the bench ran: times hold for its machine and its load.",
        tables=[table(scores)],
    )


def cost(scores: Scores, name: str, method: str, column: str) -> float | None:
    return mean(scores.values(name, method, column, condition="cost").values())


def ratio(scores: Scores, name: str, column: str) -> float | None:
    ours, theirs = (cost(scores, name, method, column) for method in (OURS, CONCAT))
    return ours / theirs if ours is not None and theirs else None


def outcome(scores: Scores) -> Aim:
    """The range over sets of each ratio."""
    parts = []
    for column, spelling in COLUMNS.items():
        found = [value for name in scores.sets if (value := ratio(scores, name, column)) is not None]
        if found:
            parts.append(f"{spelling.split(',')[0]} {min(found):.1f} to {max(found):.1f} times")
    text = f"{', '.join(parts)} those of {CONCAT}." if parts else f"Not in this table: the cost of {CONCAT}."
    return Aim(AIM, text[0].upper() + text[1:], "shown" if parts else "open")


def table(scores: Scores) -> Table:
    rows = []
    for name in scores.sets:
        cells = []
        for column in COLUMNS:
            ours, theirs = (cost(scores, name, method, column) for method in (OURS, CONCAT))
            times = ratio(scores, name, column)
            cells += [Cell(amount(ours)), Cell(amount(theirs))]
            cells.append(Cell(NOTHING if times is None else f"{times:.1f}×"))
        rows.append(Row(labelled(scores, name), cells))
    head = ["set"]
    for spelling in COLUMNS.values():
        head += [f"{spelling}: ours", CONCAT, "ratio"]
    return Table(f"Cost of {OURS} and of {CONCAT}", head, rows)


def amount(value: float | None) -> str:
    """Three figures for small amounts, thousands for large ones."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

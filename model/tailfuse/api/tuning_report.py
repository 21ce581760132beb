"""The best spec of a search as YAML, and the search as a report in Markdown."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tailfuse.api.search_space import dump_keys
from tailfuse.spec.schema import Spec

if TYPE_CHECKING:
    from tailfuse.api.tune import Tuning


def dump_spec(spec: Spec, folder: Path) -> str:
    """Return a spec as YAML that `tailfuse train` takes, with the table's path relative to its folder."""
    data = dump_keys(spec)
    data["table"] = os.path.relpath(spec.table.resolve(), folder.resolve())
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    return text


def make_report(tuning: "Tuning", folds: int | None) -> str:
    """Return the report."""
    first, best = tuning.trials.row(0, named=True), tuning.best_trial
    scored = "the validation rows" if folds is None else f"{folds} folds of the training and validation rows"
    keys = tuning.trials.columns[2:]
    ordered = tuning.trials.sort("loss", nulls_last=True, maintain_order=True)
    shares = [[key, share] for key, share in tuning.variance_shares.items()]
    parts = [
        f"# Search of {tuning.spec.name}",
        f"{len(tuning.trials)} trials, scored on {scored}. No test row was read. The loss is the negative "
        "log-likelihood with all classes counted alike; the best trial has the smallest.",
        "The figures of the best trial are the best of many on the same rows, so they are too good. Train "
        "`best.yaml` and judge it on the test rows, once.",
        "## Best against the spec as it is",
        make_table(
            ["", *keys],
            [["as it is", *map(first.get, keys)], [f"trial {best['trial']}", *map(best.get, keys)]],
        ),
        "## Best spec",
        f"```yaml\n{dump_spec(tuning.best, tuning.folder)}```",
        "## Trials",
        make_table(ordered.columns, ordered.rows()),
    ]
    if shares:
        parts += ["## Which keys decide", make_table(["key", "share of the variance"], shares)]
    return "\n\n".join(parts) + "\n"


def make_table(headings: list[str], rows: Any) -> str:
    """Return a table in Markdown."""
    cells = [headings, ["---"] * len(headings), *([format_cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def format_cell(value: Any) -> str:
    """Return a value for a table: numbers with four significant digits, a dash for None."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")

"""The option --report-rows: what a report shows of the rows to look at."""

from collections.abc import Callable
from typing import Any

import click


def report_rows_option(default: str) -> Callable[[Any], Any]:
    """Return the option. Its value is None where it is not given."""
    return click.option(
        "--report-rows",
        type=click.Choice(["none", "ids", "all"]),
        help="Rows to look at in the report: none; their numbers, labels and answers; or also their images, "
        f"texts and values, in clear.  [{default}]",
    )

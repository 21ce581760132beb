"""The columns of a model that a table lacks. polars is not needed: `tailfuse call` is in the base install."""

import logging
from collections.abc import Mapping, Sequence

from tailfuse.errors import TableError
from tailfuse.spelling import did_you_mean

MAX_NAMED_COLUMNS = 5  # in a warning

log = logging.getLogger("tailfuse")


def find_missing_columns(present: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the columns in `wanted`, by modality, that a table lacks: they count as missing cells.

    A warning names them. Raises TableError if the table has no column of the model.
    """
    every = list(dict.fromkeys(name for names in wanted.values() for name in names))
    missing = [name for name in every if name not in present]
    if len(missing) == len(every):
        hint = did_you_mean(every[0], present)
        raise TableError(f"the table has no column of this model, which reads {shorten(every)}{hint}")
    for modality, names in wanted.items():
        lacking = [name for name in names if name in missing]
        if lacking:
            whole = len(lacking) == len(names)
            effect = "it is absent in every row" if whole else "its cells count as missing"
            hint = did_you_mean(lacking[0], present)
            log.warning(
                "modality '%s': the table has no column %s; %s%s", modality, shorten(lacking), effect, hint
            )
    return missing


def shorten(names: Sequence[str]) -> str:
    """Return the first names, quoted, and how many others there are."""
    shown = ", ".join(f"'{name}'" for name in names[:MAX_NAMED_COLUMNS])
    more = len(names) - MAX_NAMED_COLUMNS
    return f"{shown} and {more:,} more" if more > 0 else shown

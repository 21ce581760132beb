"""Write the tables of errors, settings and metrics in docs/SERVICE.md, from the code."""

import re
from collections.abc import Iterator
from pathlib import Path

from tailfuse_service import errors
from tailfuse_service.metrics.families import FAMILIES
from tailfuse_service.settings import Settings

PAGE = Path(__file__).parent / "SERVICE.md"
ERROR = re.compile(r"^[│├└─ ]+\w+ +(\d{3}) +([a-z-]+) +(.+)$", re.MULTILINE)  # a line of the tree of errors


def errors_table() -> Iterator[str]:
    """Yield the lines of the table of errors, from the tree at the top of `tailfuse_service.errors`."""
    yield "| status | slug | meaning |"
    yield "|---|---|---|"
    for status, slug, meaning in ERROR.findall(errors.__doc__ or ""):
        if slug != errors.BundleError.slug:  # the service never answers with it
            yield f"| {status} | `{slug}` | {meaning} |"


def settings_table() -> Iterator[str]:
    """Yield the lines of the table of settings."""
    yield "| variable, flag | default | meaning |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        default = "" if field.is_required() or field.default in (None, "") else field.default
        default = "off" if default is False else default
        flag = "BUNDLE" if name == "bundle" else f"--{name.replace('_', '-')}"
        yield f"| `TAILFUSE_{name.upper()}`, `{flag}` | {default} | {field.description} |"


def metrics_table() -> Iterator[str]:
    """Yield the lines of the table of metrics."""
    yield "| name | labels | meaning |"
    yield "|---|---|---|"
    for name, family in FAMILIES.items():
        full = f"tailfuse_{name}_total" if family.kind == "counter" else f"tailfuse_{name}"
        labels = ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{full}` ({family.kind}) | {labels} | {family.tells} |"


def with_tables(page: str) -> str:
    """Return the page with its tables made anew, each between its two marks."""
    tables = {"errors": errors_table(), "settings": settings_table(), "metrics": metrics_table()}
    for name, table in tables.items():
        begin, end = f"<!-- {name}: `make files` -->", f"<!-- {name}: end -->"
        lines = "\n".join(table)
        pattern = rf"{re.escape(begin)}.*?{re.escape(end)}"
        table_text = f"{begin}\n{lines}\n{end}"
        page, n = re.subn(pattern, lambda _: table_text, page, flags=re.DOTALL)  # noqa: B023
        if n != 1:
            raise ValueError(f"{PAGE} has no table of {name}")
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))

"""Selection of data sets and methods by name. It imports nothing slow: typing errors are reported at once."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tailfuse.errors import UserError
from tailfuse.spelling import did_you_mean

from tailfuse_bench.datasets import DATASETS, DIGITS, STAMPS, table_path
from tailfuse_bench.digits import write_digits
from tailfuse_bench.methods import METHODS, RIVALS
from tailfuse_bench.stamps import find_stamps, write_stamps

QUICK_METHODS = ("tailfuse", "uniform", "single", "concat", "late", "logistic regression", "boosted trees")


def select_datasets(names: Sequence[str], data: Path | None, out: Path) -> dict[str, Path]:
    """Return the folder of each data set; without names, of all that `data` contains.

    The digits are written to `out` first. Raises UserError.
    """
    for name in names:
        check(name, DATASETS, "--sets", "data set")
    if data is None and set(names) - {DIGITS.name}:
        raise UserError(f"--data: needed; it is the folder that contains '{names[0]}'")
    if data is None and not names:
        raise UserError("--data: needed; it is the folder of the data sets (--quick runs on shipped data)")
    folders: dict[str, Path] = {}
    for name in names or DATASETS:
        if name == DIGITS.name:
            if names:
                folders[name] = digits_in(out)
            continue
        assert data is not None
        folder = data / name
        if name == STAMPS and (stamps := find_stamps(folder)):
            folder = stamps_in(out, stamps)
        if table_path(folder).is_file():
            folders[name] = folder
        elif names:
            raise UserError(f"--sets: {table_path(folder)}: no such file")
    if not folders:
        known = ", ".join(name for name in DATASETS if name != DIGITS.name)
        raise UserError(f"--data: {data} contains no data set; expected a folder named {known}")
    return folders


def digits_in(out: Path) -> Path:
    """Return the folder of the digits; write it first if it does not exist."""
    folder = out / DIGITS.name
    if not table_path(folder).is_file():
        write_digits(folder)
    return folder


def stamps_in(out: Path, stamps: Path) -> Path:
    """Return the folder of the table of stamps; write it first if it does not exist."""
    folder = out / STAMPS
    if not table_path(folder).is_file():
        write_stamps(stamps, folder)
    return folder


def select_methods(names: Sequence[str], *, rivals: bool = False) -> list[str]:
    """Return the methods by name or group, in the order of METHODS; without names all. Raises UserError.

    Rivals are among them only with `rivals`.
    """
    groups = {method.group for method in METHODS.values()}
    for name in names:
        check(name, [*METHODS, *groups], "--methods", "method or group")
        if not rivals and (name == RIVALS or (name in METHODS and METHODS[name].group == RIVALS)):
            raise UserError(f"--methods: '{name}' needs --rivals")
    return [
        name
        for name, method in METHODS.items()
        if (rivals or method.group != RIVALS) and (not names or {name, method.group} & set(names))
    ]


def check(name: str, known: Iterable[str], option: str, what: str) -> None:
    """Check that a name is known. Raises UserError, which suggests the nearest known name."""
    known = list(known)
    if name not in known:
        hint = did_you_mean(name, known) or f"; expected one of {', '.join(known)}"
        raise UserError(f"{option}: there is no {what} '{name}'{hint}")

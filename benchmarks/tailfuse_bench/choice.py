"""Which sets and methods are meant. Nothing heavy is imported: a misspelt name is told at once."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tailfuse.errors import UserError
from tailfuse.spec.spelling import did_you_mean

from tailfuse_bench.datasets import DIGITS, SETS, table_in
from tailfuse_bench.digits import write_digits
from tailfuse_bench.methods import METHODS

QUICK_METHODS = ("tailfuse", "uniform", "single", "concat", "late", "logistic regression", "boosted trees")


def chosen_sets(names: Sequence[str], data: Path | None, out: Path) -> dict[str, Path]:
    """The folder of each set, the digits' own made in `out`; without names all sets that `data` has.

    Raises UserError.
    """
    for name in names:
        check(name, SETS, "--sets", "set")
    if data is None and set(names) - {DIGITS.name}:
        raise UserError(f"--data: the folder in which '{names[0]}' lies is not given")
    if data is None and not names:
        raise UserError("--data: no folder with sets is given; or try --quick, which brings its own")
    folders = {}
    for name in names or SETS:
        if name == DIGITS.name:
            if names:
                folders[name] = digits_in(out)
            continue
        assert data is not None
        folder = data / name
        if table_in(folder).is_file():
            folders[name] = folder
        elif names:
            raise UserError(f"--sets: {table_in(folder)}: no such file")
    if not folders:
        known = ", ".join(name for name in SETS if name != DIGITS.name)
        raise UserError(f"--data: {data} has none of the sets: {known}")
    return folders


def digits_in(out: Path) -> Path:
    """The digits' folder, written if it is not there."""
    folder = out / DIGITS.name
    if not table_in(folder).is_file():
        write_digits(folder)
    return folder


def chosen_methods(names: Sequence[str]) -> list[str]:
    """Methods by name or by group, in their own order; without names all. Raises UserError."""
    groups = {method.group for method in METHODS.values()}
    for name in names:
        check(name, [*METHODS, *groups], "--methods", "method or group")
    return [name for name, method in METHODS.items() if not names or {name, method.group} & set(names)]


def check(name: str, known: Iterable[str], option: str, what: str) -> None:
    """Raises UserError for a name that is not known, with the nearest one that is."""
    known = list(known)
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        raise UserError(f"{option}: there is no {what} '{name}'{hint}")

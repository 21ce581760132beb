"""Selection of datasets and methods by name. It imports nothing slow: typing errors are reported at once."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tailfuse.errors import UserError
from tailfuse.spelling import did_you_mean

from tailfuse_bench.datasets import (
    DATASETS,
    DIGITS,
    SPEC,
    SPOKEN_DIGITS,
    STAMPS,
    WATCH,
    is_own,
    read_own,
    table_path,
)
from tailfuse_bench.digits import write_digits
from tailfuse_bench.methods import METHODS, RIVALS
from tailfuse_bench.spoken_digits import find_recordings, write_spoken_digits
from tailfuse_bench.stamps import find_stamps, write_stamps
from tailfuse_bench.watch import find_watch, write_watch

QUICK_METHODS = ("tailfuse", "uniform", "single", "concat", "late", "logistic regression", "boosted trees")

Find = Callable[[Path], Path | None]
Write = Callable[[Path, Path], None]
# For datasets that are distributed as something else than our table: find it, and write the table of it.
SOURCES: dict[str, tuple[Find, Write]] = {
    STAMPS: (find_stamps, write_stamps),
    SPOKEN_DIGITS: (find_recordings, write_spoken_digits),
    WATCH: (find_watch, write_watch),
}


def select_datasets(names: Sequence[str], data: Path | None, out: Path) -> dict[str, Path]:
    """Return the folder of each dataset; without names, of all that `data` contains.

    The digits are written to `out` first. Raises UserError.
    """
    own = find_own(data) if data else {}
    for name in names:
        check(name, [*DATASETS, *own], "--sets", "dataset")
    if data is None and set(names) - {DIGITS.name}:
        raise UserError(f"--data: needed; it is the folder that contains '{names[0]}'")
    if data is None and not names:
        raise UserError("--data: needed; it is the folder of the datasets (--quick runs on shipped data)")
    folders: dict[str, Path] = {}
    for name in names or [*DATASETS, *own]:
        if name in own:
            read_own(own[name])  # a mistake in its spec is told before anything runs
            folders[name] = own[name]
            continue
        if name == DIGITS.name:
            if names:
                folders[name] = digits_in(out)
            continue
        assert data is not None
        folder = find_folder(name, data, out)
        if table_path(folder).is_file():
            folders[name] = folder
        elif names:
            raise UserError(f"--sets: {table_path(folder)}: no such file")
    if not folders:
        known = ", ".join(name for name in DATASETS if name != DIGITS.name)
        raise UserError(
            f"--data: {data} contains no dataset; expected a folder with a {SPEC}, or one named {known}"
        )
    return folders


def find_own(data: Path) -> dict[str, Path]:
    """Return the folder of each dataset of the user's own."""
    return {folder.name: folder for folder in sorted(data.iterdir()) if is_own(folder)}


def digits_in(out: Path) -> Path:
    """Return the folder of the digits; write it first if it does not exist."""
    folder = out / DIGITS.name
    if not table_path(folder).is_file():
        write_digits(folder)
    return folder


def find_folder(name: str, data: Path, out: Path) -> Path:
    """Return the folder of a dataset's table; write it first if `data` has its source. Raises RunError."""
    if name not in SOURCES:
        return data / name
    find, write = SOURCES[name]
    source = find(data / name)
    if source is None:
        return data / name
    folder = out / name
    if not table_path(folder).is_file():
        write(source, folder)
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

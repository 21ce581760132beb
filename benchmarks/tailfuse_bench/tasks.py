"""What there is to do: cells (a set, its tail, a seed), their specs, and the file of each result."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import tailfuse
from pydantic import ValidationError
from tailfuse.errors import SpecError
from tailfuse.spec.schema import Spec, explain
from tailfuse_service.bundle import sha256, write_atomically

from tailfuse_bench.datasets import OWN_TAIL, SETS, table_in
from tailfuse_bench.methods import METHODS
from tailfuse_bench.records import Bin, Result

CELLS = "cells"
# Folders of tailfuse that no result depends on.
UNRELATED = ("cli", "export", "quickstart")


class Cell(NamedTuple):
    """All methods see the same rows of it."""

    set: str
    ir: int
    seed: int

    def __str__(self) -> str:
        return f"{self.set}, {tail_name(self.ir)}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Task:
    """Methods of a cell that share their training, the set's folder, and the folder of all results."""

    cell: Cell
    methods: tuple[str, ...]
    folder: Path
    out: Path

    def __str__(self) -> str:
        return f"{self.cell}: {', '.join(self.methods)}"

    def file(self, method: str) -> Path:
        """Where the method's results go."""
        name = "-".join(map(str, self.cell))
        return self.out / CELLS / name / f"{method.replace(' ', '-')}.json"

    def spec(self, method: str, subset: Iterable[str] = ()) -> Spec:
        """The set's spec with what the method changes; of some modalities, or of all. Raises SpecError."""
        document = SETS[self.cell.set].document(self.folder) | {"seed": self.cell.seed}
        wanted = set(subset) or set(document["modalities"])
        document["modalities"] = {key: each for key, each in document["modalities"].items() if key in wanted}
        for key, value in METHODS[method].overrides.items():
            section, name = key.split(".")
            document[section] = document.get(section, {}) | {name: value}
        try:
            return Spec.model_validate(document)
        except ValidationError as error:
            where, why = explain(error.errors(include_url=False)[0], document)
            raise SpecError(f"{self.cell.set}, method '{method}': {'.'.join(where)}: {why}") from None

    def fingerprint(self, method: str) -> str:
        """What tells the method's results from those of another spec, table or tail."""
        spec = self.spec(method).model_dump(mode="json", exclude={"table"})
        what = [spec, self.cell, table_sha256(self.folder), Result._fields, Bin._fields]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class Record(NamedTuple):
    """The results of one method on one cell, as they lie in its file."""

    fingerprint: str
    code: str  # that made them
    seconds: float
    results: list[Result]
    bins: list[Bin]

    @property
    def balanced_accuracy(self) -> float | None:
        """Of the first subset: all modalities, but for models trained for less."""
        return self.results[0].balanced_accuracy

    def write(self, path: Path) -> None:
        """Replace the file at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(self._asdict()))


def read_record(path: Path) -> Record | None:
    """None if there is none, or it is damaged."""
    try:
        read: dict[str, Any] = json.loads(path.read_text())
        read["results"] = [Result(*values) for values in read["results"]]
        read["bins"] = [Bin(*values) for values in read["bins"]]
        return Record(**read)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def tail_name(ir: int) -> str:
    return "own tail" if ir == OWN_TAIL else f"IR {ir}"


@cache
def table_sha256(folder: Path) -> str:
    return sha256(table_in(folder))


@cache
def code_sha256() -> str:
    """Return the checksum of the code that makes results: this package, and tailfuse but for UNRELATED."""
    digest = hashlib.sha256()
    for root in (Path(tailfuse.__file__).parent, Path(__file__).parent):
        for file in sorted(root.rglob("*.py")):
            path = file.relative_to(root.parent)
            if path.parts[1] not in UNRELATED:
                digest.update(f"{path.as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()

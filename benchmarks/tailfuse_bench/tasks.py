"""Experiments (a dataset, a ratio, a seed), their tasks and specs, and the file of each result."""

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

from tailfuse_bench.datasets import ORIGINAL_IR, find_dataset, find_table
from tailfuse_bench.methods import METHODS, RIVALS
from tailfuse_bench.missing import name_condition
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.rivals.environment import REQUIREMENTS, Environment

EXPERIMENTS = "cells"  # the folder name in results of all versions
# Folders of tailfuse that no result depends on.
UNRELATED = ("cli", "export", "quickstart")


class Experiment(NamedTuple):
    """A dataset, an imbalance ratio, a seed, and the per cent of the modalities removed.

    They determine the rows that all methods share.
    """

    dataset: str
    ir: int
    seed: int
    missing: int = 0

    def __str__(self) -> str:
        return f"{self.describe_rows()}, seed {self.seed}"

    def describe_rows(self) -> str:
        """Describe the experiment but for its seed."""
        missing = f", {self.missing} % missing" if self.missing else ""
        return f"{self.dataset}, {format_ratio(self.ir)}{missing}"

    @property
    def key(self) -> tuple[Any, ...]:
        """Return the key in files. As in older ones, it lacks `missing` where nothing is removed."""
        return tuple(self) if self.missing else tuple(self[:3])

    def make_result(self, method: str) -> Result:
        """Return an empty result of a method."""
        return Result(self.dataset, self.ir, self.seed, method, condition=name_condition(self.missing))


@dataclass(frozen=True, slots=True)
class Task:
    """Methods of an experiment that share their training; `folder` holds the table, `out` the results.

    Rivals run in their `environment`.
    """

    experiment: Experiment
    methods: tuple[str, ...]
    folder: Path
    out: Path
    environment: Environment | None = None

    def __str__(self) -> str:
        return f"{self.experiment}: {', '.join(self.methods)}"

    def file(self, method: str) -> Path:
        """Return the path of the method's results."""
        name = "-".join(map(str, self.experiment.key))
        return self.out / EXPERIMENTS / name / f"{method.replace(' ', '-')}.json"

    def spec(self, method: str, subset: Iterable[str] = ()) -> Spec:
        """Return the spec of a method on the dataset, for some or all modalities. Raises SpecError."""
        dataset = find_dataset(self.experiment.dataset, self.folder)
        document = dataset.document(self.folder) | {"seed": self.experiment.seed}
        wanted = set(subset) or set(document["modalities"])
        document["modalities"] = {key: each for key, each in document["modalities"].items() if key in wanted}
        for key, value in METHODS[method].overrides.items():
            section, name = key.split(".")
            document[section] = document.get(section, {}) | {name: value}
        try:
            return Spec.model_validate(document)
        except ValidationError as error:
            where, why = explain(error.errors(include_url=False)[0], document)
            raise SpecError(
                f"{self.experiment.dataset}, method '{method}': {'.'.join(where)}: {why}"
            ) from None

    def fingerprint(self, method: str) -> str:
        """Return a checksum of the spec, the table and the experiment: it identifies reusable results."""
        spec = self.spec(method).model_dump(mode="json", exclude={"table"})
        table = table_sha256(find_table(self.experiment.dataset, self.folder))
        what: list[Any] = [spec, self.experiment.key, table, Result._fields, Bin._fields]
        if METHODS[method].group == RIVALS and self.environment:
            what += [REQUIREMENTS.read_text(), self.environment.seconds]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class Record(NamedTuple):
    """The results of one method in one experiment, as in its file."""

    fingerprint: str
    code: str  # code_sha256 of the code that made them
    seconds: float
    results: list[Result]
    bins: list[Bin]

    @property
    def balanced_accuracy(self) -> float | None:
        """Balanced accuracy on the largest subset evaluated."""
        return self.results[0].balanced_accuracy

    def write(self, path: Path) -> None:
        """Write the record to `path` atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(self._asdict()))


def read_record(path: Path) -> Record | None:
    """Read a record; None if the file is missing or invalid."""
    try:
        read: dict[str, Any] = json.loads(path.read_text())
        read["results"] = [Result(*values) for values in read["results"]]
        read["bins"] = [Bin(*values) for values in read["bins"]]
        return Record(**read)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def format_ratio(ir: int) -> str:
    """Format an imbalance ratio."""
    return "original ratio" if ir == ORIGINAL_IR else f"IR {ir}"


@cache
def table_sha256(table: Path) -> str:
    """Return the checksum of a dataset's table."""
    return sha256(table)


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

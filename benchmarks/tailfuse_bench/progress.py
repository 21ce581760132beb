"""How far the bench is: a bar on a terminal, a line for each result elsewhere."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tailfuse_bench.methods import SPECIALIST
from tailfuse_bench.pool import Failure
from tailfuse_bench.tasks import Cell, Record, Task, tail_name

Key = tuple[str, ...]


class BenchProgress:
    """A context manager, and a Listener. Time left is told from how long each method took on each set."""

    def __init__(
        self, console: Console, tasks: Iterable[Task], there: Mapping[tuple[Cell, str], Record], jobs: int
    ) -> None:
        self.console = console
        self.jobs = jobs
        self.left = [(task.cell, method) for task in tasks for method in task.methods]
        self.total = len(self.left) + len(there)
        self.seconds: dict[Key, list[float]] = defaultdict(list)
        self.scores: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for (cell, method), record in there.items():
            self.note(cell, method, record)
        self.bar = Progress(
            TextColumn("[bold]bench"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"), TextColumn("[dim]{task.fields[best]}"),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=self.total, completed=len(there), left="", best="")

    def __enter__(self) -> "BenchProgress":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()

    def finished(self, task: Task, records: Mapping[str, Record]) -> None:
        """A task has ended well."""
        for method, record in records.items():
            self.left.remove((task.cell, method))
            self.note(task.cell, method, record)
            if not self.console.is_terminal:
                self.say(
                    f"{task.cell}: {method}: {percent(record.balanced_accuracy)}, {record.seconds:.0f} s"
                )
        self.show(task.cell)

    def failed(self, task: Task, failure: Failure) -> None:
        """A task has not; what it did before that is there nevertheless."""
        for method in task.methods:
            self.left.remove((task.cell, method))
        self.console.print(f"[red]failed:[/red] {escape(f'{task}: {failure.why}')}", highlight=False)
        self.show(task.cell)

    def note(self, cell: Cell, method: str, record: Record) -> None:
        """Remember how long it took, and how well it does."""
        for key in ((cell.set, method), (method,), ()):
            self.seconds[key].append(record.seconds)
        if record.balanced_accuracy is not None and method != SPECIALIST:
            self.scores[cell.set, cell.ir][method].append(record.balanced_accuracy)

    def seconds_left(self) -> float | None:
        """None before anything has ended."""
        if not self.seconds:
            return None
        return sum(fmean(self.expected(cell.set, method)) for cell, method in self.left) / self.jobs

    def expected(self, name: str, method: str) -> list[float]:
        """How long it took on this set, else on any, else any method."""
        return self.seconds.get((name, method)) or self.seconds.get((method,)) or self.seconds[()]

    def show(self, cell: Cell) -> None:
        self.bar.update(
            self.task, completed=self.total - len(self.left), left=self.time_left(), best=self.best(cell)
        )

    def say(self, line: str) -> None:
        done = f"{self.total - len(self.left)}/{self.total}"
        stamp = time.strftime("%H:%M:%S")
        self.console.print(f"{stamp} {done} {line}; {self.time_left()}", highlight=False, soft_wrap=True)

    def time_left(self) -> str:
        """`1 h 05 min left`"""
        seconds = self.seconds_left()
        if seconds is None:
            return ""
        minutes = round(seconds / 60)
        if minutes < 1:
            return "less than a minute left" if self.left else "done"
        return f"{minutes // 60} h {minutes % 60:02} min left" if minutes >= 60 else f"{minutes} min left"

    def best(self, cell: Cell) -> str:
        """`pie, IR 50: best is tailfuse, 80.1 %`"""
        scores = self.scores.get((cell.set, cell.ir))
        if not scores:
            return ""
        name = max(scores, key=lambda method: fmean(scores[method]))
        return f"{cell.set}, {tail_name(cell.ir)}: best is {name}, {percent(fmean(scores[name]))}"


def percent(share: float | None) -> str:
    """Balanced accuracy."""
    return "no rows" if share is None else f"{100 * share:.1f} %"

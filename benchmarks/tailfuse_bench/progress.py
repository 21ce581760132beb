"""Progress of a run: a bar on a terminal, one line per result elsewhere."""

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
from tailfuse_bench.tasks import Experiment, Record, Task

Key = tuple[str, ...]


class BenchProgress:
    """A context manager and a Listener. It estimates the time left from the times of finished experiments."""

    def __init__(
        self,
        console: Console,
        tasks: Iterable[Task],
        done: Mapping[tuple[Experiment, str], Record],
        jobs: int,
    ) -> None:
        self.console = console
        self.jobs = jobs
        self.left = [(task.experiment, method) for task in tasks for method in task.methods]
        self.total = len(self.left) + len(done)
        self.seconds: dict[Key, list[float]] = defaultdict(list)
        self.scores: dict[Experiment, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for (experiment, method), record in done.items():
            self.add_record(experiment, method, record)
        self.bar = Progress(
            TextColumn("[bold]bench"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"), TextColumn("[dim]{task.fields[best]}"),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=self.total, completed=len(done), left="", best="")

    def __enter__(self) -> "BenchProgress":
        if self.left:
            self.console.print(
                f"{len(self.left)} of {self.total} results to compute, {self.jobs} at a time; "
                "the first ones take longest",
                highlight=False,
            )
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()

    def finished(self, task: Task, records: Mapping[str, Record]) -> None:
        """Show that a task succeeded."""
        for method, record in records.items():
            self.left.remove((task.experiment, method))
            self.add_record(task.experiment, method, record)
            if not self.console.is_terminal:
                accuracy = format_percent(record.balanced_accuracy)
                self.print_line(f"{task.experiment}: {method}: {accuracy}, {record.seconds:.0f} s")
        self.update_bar(task.experiment)

    def failed(self, task: Task, failure: Failure) -> None:
        """Show that a task failed. Results that it wrote before remain."""
        for method in task.methods:
            self.left.remove((task.experiment, method))
        self.console.print(f"[red]failed:[/red] {escape(f'{task}: {failure.why}')}", highlight=False)
        self.update_bar(task.experiment)

    def add_record(self, experiment: Experiment, method: str, record: Record) -> None:
        """Remember the time and the accuracy of a result."""
        for key in ((experiment.dataset, method), (method,), ()):
            self.seconds[key].append(record.seconds)
        if record.balanced_accuracy is not None and method != SPECIALIST:
            self.scores[experiment._replace(seed=0)][method].append(record.balanced_accuracy)

    def seconds_left(self) -> float | None:
        """Estimate the seconds left; None before the first result."""
        if not self.seconds:
            return None
        return (
            sum(fmean(self.expected_seconds(experiment.dataset, method)) for experiment, method in self.left)
            / self.jobs
        )

    def expected_seconds(self, name: str, method: str) -> list[float]:
        """Return the method's times on this dataset, else on any, else of any method."""
        return self.seconds.get((name, method)) or self.seconds.get((method,)) or self.seconds[()]

    def update_bar(self, experiment: Experiment) -> None:
        """Show the finished tasks, the best methods and the time left."""
        self.bar.update(
            self.task,
            completed=self.total - len(self.left),
            left=self.format_time_left(),
            best=self.format_best(experiment),
        )

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        done = f"{self.total - len(self.left)}/{self.total}"
        stamp = time.strftime("%H:%M:%S")
        self.console.print(
            f"{stamp} {done} {line}; {self.format_time_left()}", highlight=False, soft_wrap=True
        )

    def format_time_left(self) -> str:
        """Format the time left: `1 h 05 min left`."""
        seconds = self.seconds_left()
        if seconds is None:
            return ""
        if seconds < 30:
            return "less than a minute left" if self.left else "done"
        return f"{format_minutes(seconds)} left"

    def format_best(self, experiment: Experiment) -> str:
        """Name the best method: `pie, IR 50: best is tailfuse, 80.1 %`."""
        scores = self.scores.get(experiment._replace(seed=0))
        if not scores:
            return ""
        name = max(scores, key=lambda method: fmean(scores[method]))
        accuracy = format_percent(fmean(scores[name]))
        return f"{experiment.describe_rows()}: best is {name}, {accuracy}"


def format_minutes(seconds: float) -> str:
    """Format a time: `1 h 05 min`, `3 min`, `12 s`."""
    minutes = round(seconds / 60)
    if seconds < 30:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def format_percent(share: float | None) -> str:
    """Format a balanced accuracy: `80.1 %`."""
    return "no rows" if share is None else f"{100 * share:.1f} %"

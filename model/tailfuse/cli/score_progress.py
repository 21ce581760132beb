"""Progress of a scoring: a bar on a terminal, a line every ten seconds elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tailfuse.api.score import OnProgress, Outcome, Plan

LINE_EVERY_S = 10.0


@dataclass(slots=True)
class ScoreProgress:
    """The progress of a scoring. Rows of shards that were kept are done, but took no time."""

    clock: Callable[[], float]
    plan: Plan = field(default_factory=lambda: Plan(0, 0, None))
    began_at: float = 0.0
    shards: int = 0
    scored: int = 0  # rows
    kept: int = 0  # rows
    ended_rows: int = 0
    ended_bytes: int = 0

    def update(self, event: Plan | int | Outcome) -> None:
        """Take in what `tailfuse.score` reports."""
        if isinstance(event, Plan):
            self.plan, self.began_at = event, self.clock()
        elif isinstance(event, int):
            self.scored += event
        else:
            self.shards += 1
            rows = event.record.counts.rows if event.record else 0
            self.ended_rows += rows
            self.ended_bytes += event.task.n_bytes
            self.kept += rows if event.kept else 0

    @property
    def done(self) -> int:
        """Rows that have answers."""
        return self.scored + self.kept

    @property
    def total(self) -> int | None:
        """Rows in all, about; None if not even that is known."""
        ratio = self.plan.rows_per_byte
        if self.ended_rows:
            ratio = self.ended_rows / self.ended_bytes
        if ratio is None:
            return None
        return max(self.done, self.ended_rows + round(ratio * (self.plan.n_bytes - self.ended_bytes)))

    def describe(self) -> str:
        """Return the shards, the rows per second and the time left, as text."""
        elapsed = self.clock() - self.began_at
        rate = self.scored / elapsed if elapsed > 0 else 0.0
        figures = [f"{self.shards:,} of {self.plan.n_shards:,} shards", f"{self.done:,} rows"]
        if rate > 0:
            figures.append(f"{rate:,.0f} rows/s")
            if self.total is not None:
                left = timedelta(seconds=round((self.total - self.done) / rate))
                figures.append(f"about {left} left")
        return " · ".join(figures)


@contextmanager
def show_progress(console: Console, clock: Callable[[], float] = time.monotonic) -> Iterator[OnProgress]:
    """Yield what `tailfuse.score` takes as `on_progress`."""
    progress, spoke_at = ScoreProgress(clock), clock()
    bars = Progress(
        TextColumn("[bold]scoring"), BarColumn(), TextColumn("{task.description}"),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    with bars:
        bar = bars.add_task("", total=None)

        def on_progress(event: Plan | int | Outcome) -> None:
            nonlocal spoke_at
            progress.update(event)
            if console.is_terminal:
                bars.update(
                    bar, description=progress.describe(), completed=progress.done, total=progress.total
                )
            elif clock() - spoke_at >= LINE_EVERY_S:
                spoke_at = clock()
                console.print(progress.describe(), highlight=False, soft_wrap=True)

        yield on_progress

"""Progress of a run: a bar on a terminal, a line every ten seconds elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tailfuse.training.fit import FOLD
from tailfuse.training.loop import Stage
from tailfuse.training.state import Epoch
from tailfuse.training.train import Listener

LINE_EVERY_S = 10.0


class TrainingProgress:
    """A context manager; `listener` is what train() takes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"), TimeRemainingColumn(compact=True),
            console=self.console, disable=not self.console.is_terminal,
        )  # fmt: skip
        self.tasks: dict[str, TaskID] = {}
        self.spoke_at = time.monotonic()

    def __enter__(self) -> Listener:
        self.bars.start()
        return Listener(self.on_load, self.on_epoch, self.on_step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bars.stop()

    def on_load(self, modality: str, done: int, total: int) -> None:
        """Rows of a modality have been read."""
        self._show(f"reading {modality}", done, total, "")

    def on_epoch(self, stage: Stage, epoch: Epoch, n_stages: int) -> None:
        """An epoch of a stage has ended."""
        figures = f"loss {epoch.loss:.3f}"
        if stage.val is not None:
            figures += f" · balanced accuracy {100 * epoch.val_balanced_accuracy:.1f} %"
        self._show(describe_stage(stage.name, n_stages - 1), epoch.epoch + 1, stage.epochs, figures)

    def on_step(self, what: str) -> None:
        """Something without a bar begins."""
        self.console.print(f"[dim]{what} …[/dim]")

    def _show(self, name: str, done: int, total: int, figures: str) -> None:
        if not self.console.is_terminal:
            if done == total or time.monotonic() - self.spoke_at > LINE_EVERY_S:
                self.spoke_at = time.monotonic()
                self.console.print(f"{name} {done}/{total} {figures}".rstrip(), highlight=False)
            return
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total, figures=figures)
        self.bars.update(self.tasks[name], completed=done, total=total, figures=figures)


def describe_stage(name: str, n_folds: int) -> str:
    """Name a stage as people count: `training fold 2 of 4`, the last fold being the fourth."""
    number = name.removeprefix(FOLD)
    return "training" if number == name else f"training fold {int(number) + 1} of {n_folds}"

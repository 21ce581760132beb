"""What tailfuse logs while a command runs, on the console."""

import logging

from rich.console import Console
from rich.logging import RichHandler


class OncePerMessage(logging.Filter):
    """Drops what has been said before: a table that is read three times has the same doubtful column."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_new = message not in self.messages
        self.messages.add(message)
        return is_new


def show_warnings(console: Console) -> None:
    """Print tailfuse's warnings on the console, each once."""
    handler = RichHandler(console=console, show_time=False, show_path=False)
    handler.addFilter(OncePerMessage())
    logging.getLogger("tailfuse").addHandler(handler)

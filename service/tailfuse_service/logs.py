"""JSON logs on stderr, one object on each line."""

import logging
import sys
from datetime import UTC, datetime

import orjson

from tailfuse_service.log_writer import LogWriter

LOG = logging.getLogger("tailfuse")
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object: time, level, logger, message, worker number and any `extra`."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._fixed = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fixed,
            **{key: value for key, value in vars(record).items() if key not in STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str, worker: int | None = None) -> None:
    """Send this process's logs to stderr. Uvicorn's own logs start at level warning."""
    handler = LogWriter(sys.stderr)
    handler.setFormatter(JsonFormatter(worker))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOG.setLevel(level.upper())


def count_dropped() -> int:
    """Return how many lines this process has dropped."""
    return sum(each.dropped for each in logging.getLogger().handlers if isinstance(each, LogWriter))

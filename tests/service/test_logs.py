"""Logs: a line of JSON each."""

import io
import json
import logging
import os
import sys
import threading

import pytest
from tailfuse_service import log_writer, logs
from tailfuse_service.log_writer import MAX_BURST, LogWriter
from tailfuse_service.logs import JsonFormatter
from tailfuse_service.metrics import Metrics

from tests.support.process import ran


def test_a_line_has_what_came_with_it() -> None:
    record = logging.LogRecord("tailfuse", logging.INFO, "x.py", 1, "hello %s", ("you",), None)
    record.request_id = "abc"
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "tailfuse", "message": "hello you", "request_id": "abc"}


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        kind = type(error), error, error.__traceback__
    record = logging.LogRecord("tailfuse", logging.ERROR, "x.py", 1, "failed", (), kind)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ValueError: two\nlines" in json.loads(text)["exception"]


def test_what_json_does_not_know_is_logged_as_text() -> None:
    record = logging.LogRecord("tailfuse", logging.INFO, "x.py", 1, "hello", (), None)
    record.thing = {1, 2}
    assert json.loads(JsonFormatter().format(record))["thing"] == "{1, 2}"


def test_a_worker_names_itself() -> None:
    record = logging.LogRecord("tailfuse", logging.INFO, "x.py", 1, "hello", (), None)
    assert json.loads(JsonFormatter(worker=2).format(record))["worker"] == 2
    assert "worker" not in json.loads(JsonFormatter().format(record))


def make_record(level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("tailfuse", level, "x.py", 1, "x" * 1000, (), None)
    vars(record).update(extra)
    return record


def test_a_reader_that_does_not_read_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "FLUSH_S", 0.05)
    read, write = os.pipe()
    with open(write, "w") as full:
        writer = LogWriter(full)
        for _ in range(10_000):  # of a kilobyte: more than a pipe and the queue take
            writer.emit(make_record())
        assert 5000 < writer.dropped < 9000
        writer.flush()  # and the end of the process does not wait for it
        threading.Thread(target=drain, args=[read], daemon=True).start()
        while writer._queued_bytes:
            writer.flush()


def drain(read: int) -> None:
    with open(read, "rb") as file:
        file.read()


def test_a_flood_of_problems_is_cut_and_counted_by_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "PER_SECOND", 0.0)
    stream = io.StringIO()
    writer = LogWriter(stream)
    for _ in range(MAX_BURST + 70):
        writer.emit(make_record(slug="invalid-input"))
    writer.emit(make_record(logging.ERROR, slug="internal-error"))
    writer.emit(make_record())  # not about a problem
    writer.flush()
    assert writer.dropped == 70
    assert stream.getvalue().count("\n") == MAX_BURST + 2


def test_a_closed_stream_ends_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    writer = LogWriter(stream)
    writer.emit(make_record())
    writer.flush()
    assert writer.dropped == 1


def test_dropped_lines_are_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    writer = LogWriter(io.StringIO())
    monkeypatch.setattr(logging.getLogger(), "handlers", [writer])
    writer.dropped = 3
    assert logs.count_dropped() == 3
    assert "tailfuse_log_lines_dropped_total 3.0" in metrics.text().decode()


LATE = """
import atexit
atexit.register(lambda: at_the_end())  # after the end of logging, which is registered later

import gc, logging, sys, threading
from tailfuse_service import logs

logs.configure("info")
[handler] = logging.getLogger().handlers

class Late:
    def __del__(self):
        print("finalizing", sys.is_finalizing(), flush=True)
        logging.getLogger("asyncio").error("unclosed")

def at_the_end():
    pass

gc.disable()
late = Late()
late.itself = late
del late
"""
KEEP_THE_LOCK = """
may_take, held = threading.Event(), threading.Event()

def keep():
    may_take.wait()
    with handler._changed:
        held.set()
        threading.Event().wait()

def at_the_end():
    may_take.set()
    held.wait()

threading.Thread(target=keep, daemon=True).start()
"""


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("", id="no thread writes yet"),
        pytest.param("logging.getLogger().warning('early')", id="a thread has written"),
        pytest.param("at_the_end = lambda: logging.getLogger().warning('late')", id="no thread can begin"),
        pytest.param(KEEP_THE_LOCK, id="a stopped thread keeps the lock"),
    ],
)
def test_a_line_while_python_ends_does_not_keep_it_from_ending(before: str) -> None:
    # As aiohttp does about a connection that is still open then.
    done = ran(sys.executable, "-c", LATE + before)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "finalizing True\n"
    assert "Traceback" not in done.stderr

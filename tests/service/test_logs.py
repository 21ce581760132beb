"""Logs: a line of JSON each."""

import json
import logging

from tailfuse_service.logs import JsonFormatter


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

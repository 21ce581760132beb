"""Calls that may hang: whatever a library does, the caller goes on after a time limit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def call_within(seconds: float, call: Callable[[threading.Event], T]) -> T:
    """Call in a thread of its own, and return its result. Raises TimeoutError, and what the call raises.

    After a timeout the event that the call got is set, and the thread is left to end by itself. It does not
    keep the process from ending.
    """
    cancelled = threading.Event()
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call(cancelled))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="store", daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutError:
        if result.done():  # the call itself has raised it
            raise
        cancelled.set()
        raise TimeoutError(f"no answer within {seconds:g} s") from None

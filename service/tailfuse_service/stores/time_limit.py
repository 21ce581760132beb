"""Calls that may hang: whatever a library does, the caller goes on after a time limit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start_call(call: Callable[[], T]) -> Future[T]:
    """Call in a thread of its own, which does not keep the process from ending: a library may hang."""
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # whoever stops waiting for the result leaves the call alone

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="store", daemon=True).start()
    return result


def call_within(seconds: float, call: Callable[[threading.Event], T]) -> T:
    """Start a call, and return its result. Raises TimeoutError, and what the call raises.

    After a timeout the event that the call got is set, and its thread is left to end by itself.
    """
    cancelled = threading.Event()
    result = start_call(lambda: call(cancelled))
    try:
        return result.result(seconds)
    except TimeoutError:
        if result.done():  # the call itself has raised it
            raise
        cancelled.set()
        raise TimeoutError(f"no answer within {seconds:g} s") from None

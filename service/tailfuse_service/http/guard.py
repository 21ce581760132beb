"""A failure that nobody expects breaks its own connection, and nothing else."""

from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar, TypeVarTuple


class Breakable(Protocol):
    """A connection that can be broken off."""

    def break_off(self, error: Exception) -> None: ...


C = TypeVar("C", bound=Breakable)
Ts = TypeVarTuple("Ts")


def breaks_connection(method: Callable[[C, *Ts], None]) -> Callable[[C, *Ts], None]:
    """Have what escapes from a method that the event loop calls break its connection only."""

    @wraps(method)
    def guarded(connection: C, *args: *Ts) -> None:
        try:
            method(connection, *args)
        except Exception as error:
            connection.break_off(error)

    return guarded

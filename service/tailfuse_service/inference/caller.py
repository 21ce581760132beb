"""The caller of a request: who shares the service with others, and waits in a queue of its own."""

from collections.abc import Mapping, Sized
from contextvars import ContextVar
from typing import TypeAlias

from tailfuse_service.errors import Overloaded

# A client's key, or its address where no keys are needed.
Caller: TypeAlias = bytes | str
# That of the request that is being worked on. The router sets it; each task of asyncio has its own.
CALLER: ContextVar[Caller] = ContextVar("caller", default="")


def find_heaviest(queues: Mapping[Caller, Sized], caller: Caller, n_new: int = 1) -> Caller | None:
    """Return the caller with the most waiting, or None if that is `caller`, who brings `n_new` more."""
    heaviest = max(queues, key=lambda each: len(queues[each]), default=caller)
    own = len(queues.get(caller, ())) + n_new
    return heaviest if heaviest != caller and len(queues[heaviest]) > own else None


def make_overloaded() -> Overloaded:
    """Return the error of a request for which there is no room in a queue."""
    return Overloaded("too many samples are waiting; try again soon", retry_after_s=1)

"""The caller of a request: who shares the service with others, and waits in a queue of its own."""

from contextvars import ContextVar
from typing import TypeAlias

# A client's key, or its address where no keys are needed.
Caller: TypeAlias = bytes | str
# That of the request that is being worked on. The router sets it; each task of asyncio has its own.
CALLER: ContextVar[Caller] = ContextVar("caller", default="")

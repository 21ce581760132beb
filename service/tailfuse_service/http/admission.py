"""Admission: the limit on requests in flight. A caller with many requests does not keep the others out."""

from collections import Counter
from typing import Protocol

from tailfuse_service.errors import TooManyRequests
from tailfuse_service.inference.caller import CALLER, Caller


class Request(Protocol):
    """A request that may be refused while it waits."""

    caller: Caller | None

    def refuse(self, error: TooManyRequests) -> bool: ...


class Admission:
    """The requests in flight that count in the limits, in the order of their arrival."""

    def __init__(self, max_concurrency: int, max_per_key: int | None) -> None:
        self._max_concurrency = max_concurrency
        self._max_per_key = max_per_key
        self._requests: dict[Request, None] = {}
        self._by_caller: Counter[Caller] = Counter()

    def admit(self, request: Request, address: str, key: bytes | None) -> None:
        """Count a request for its caller: the key, or the client's address where no key is needed.

        If there are too many, the newest of the caller with the most is refused. Raises TooManyRequests if
        that is this one. `release` must be called afterwards, also if this raises.
        """
        request.caller = caller = address if key is None else key
        CALLER.set(caller)
        self._requests[request] = None
        self._by_caller[caller] += 1
        limit = None if key is None else self._max_per_key
        if limit is not None and self._by_caller[caller] > limit:
            raise TooManyRequests(
                f"{limit} requests with your key are in flight; try again soon", retry_after_s=1
            )
        if len(self._requests) > self._max_concurrency:
            self._make_room(caller)

    def release(self, request: Request) -> None:
        """Take a request out of the count; one that is not in it is left alone."""
        caller = request.caller
        if caller is None or request not in self._requests:
            return
        del self._requests[request]
        self._by_caller[caller] -= 1
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def _make_room(self, caller: Caller) -> None:
        """Refuse the newest request of the caller with the most.

        Raises TooManyRequests if `caller` has the most itself.
        """
        error = TooManyRequests(
            f"{self._max_concurrency} requests are in flight; try again soon", retry_after_s=1
        )
        heaviest = max(self._by_caller, key=self._by_caller.__getitem__)
        if self._by_caller[heaviest] <= self._by_caller[caller]:
            raise error
        for each in reversed(self._requests):
            if each.caller == heaviest and each.refuse(error):
                self.release(each)
                return
        raise error

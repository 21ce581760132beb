"""Admission: the limit on requests in flight. A caller with many requests does not keep the others out."""

from typing import Protocol

from tailfuse_service.errors import TooManyRequests
from tailfuse_service.inference.caller import CALLER, Caller


class Request(Protocol):
    """A request that may be refused while it waits."""

    def refuse(self, error: TooManyRequests) -> bool: ...


class Account:
    """The number of requests of a caller in flight."""

    __slots__ = ("caller", "n_requests")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.n_requests = 0


class Admission:
    """The requests in flight that count in the limits, in the order of their arrival."""

    def __init__(self, max_concurrency: int, max_per_key: int | None) -> None:
        self._max_concurrency = max_concurrency
        self._max_per_key = max_per_key
        self._requests: dict[Request, Account] = {}
        self._accounts: dict[Caller, Account] = {}

    def admit(self, request: Request, address: str, key: bytes | None) -> None:
        """Count a request for its caller: the key, or the client's address where no key is needed.

        If there are too many, the newest of the caller with the most is refused. Raises TooManyRequests if
        that is this one. `release` must be called afterwards, also if this raises.
        """
        caller = address if key is None else key
        CALLER.set(caller)
        account = self._accounts.get(caller)
        if account is None:
            account = self._accounts[caller] = Account(caller)
        self._requests[request] = account
        account.n_requests += 1
        if key is not None and self._max_per_key is not None and account.n_requests > self._max_per_key:
            raise TooManyRequests(
                f"{self._max_per_key} requests with your key are in flight; try again soon", retry_after_s=1
            )
        if len(self._requests) > self._max_concurrency:
            self._make_room(account)

    def release(self, request: Request) -> None:
        """Take a request out of the count; one that is not in it is left alone."""
        account = self._requests.pop(request, None)
        if account is None:
            return
        account.n_requests -= 1
        if not account.n_requests:
            del self._accounts[account.caller]

    def _make_room(self, own: Account) -> None:
        """Refuse the newest request of the caller with the most.

        Raises TooManyRequests if this caller has the most itself.
        """
        error = TooManyRequests(
            f"{self._max_concurrency} requests are in flight; try again soon", retry_after_s=1
        )
        heaviest = max(self._accounts.values(), key=get_n_requests)
        if heaviest.n_requests <= own.n_requests:
            raise error
        for each in reversed(self._requests):
            if self._requests[each] is heaviest and each.refuse(error):
                self.release(each)
                return
        raise error


def get_n_requests(account: Account) -> int:
    """Return how many requests of a caller are in flight."""
    return account.n_requests

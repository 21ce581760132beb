"""Limits on open connections: of this process, and of one client by its address."""

from collections import Counter, OrderedDict
from itertools import islice
from typing import Protocol

# Of so many connections, the one that has been idle for longest is closed.
MAX_CANDIDATES = 32
# If all of those are busy, the search goes on. To check so many takes about as long as to refuse the new
# connection; to check all would be work that an attacker chooses.
MAX_CHECKED = 512


class Connection(Protocol):
    """An open connection."""

    def get_idle_since(self) -> float | None: ...

    def close_idle(self) -> None: ...


class Connections:
    """The open connections of a process. If there are too many, an idle one is closed for a new one."""

    def __init__(self, max_connections: int, max_per_client: int | None) -> None:
        self._max_connections = max_connections
        self._max_per_client = max_per_client
        # The address of each. Those that were opened or found busy last are at the end.
        self._open: OrderedDict[Connection, str] = OrderedDict()
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection, address: str) -> str | None:
        """Count a new connection. Return why it is refused, or None."""
        limit = self._max_per_client
        if limit is not None and self._by_address[address] >= limit:
            return f"{limit} connections from your address are open"
        if len(self._open) >= self._max_connections and not self._close_idle():
            return f"{self._max_connections} connections are open"
        self._open[connection] = address
        self._by_address[address] += 1
        return None

    def remove(self, connection: Connection) -> None:
        """Take a connection out of the count; one that was refused is not in it."""
        address = self._open.pop(connection, None)
        if address is None:
            return
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def _close_idle(self) -> bool:
        """Close the connection that has been idle for longest, of those checked. False if none is idle."""
        idle: list[tuple[float, Connection]] = []
        busy: list[Connection] = []
        for each in islice(self._open, MAX_CHECKED):
            if idle and len(idle) + len(busy) >= MAX_CANDIDATES:
                break
            since = each.get_idle_since()
            if since is None:
                busy.append(each)
            else:
                idle.append((since, each))
        # The next search then begins with others, among which there may be an idle one.
        for each in busy:
            self._open.move_to_end(each)
        if not idle:
            return False
        _, longest = min(idle, key=get_since)
        self.remove(longest)
        longest.close_idle()
        return True


def get_since(found: tuple[float, Connection]) -> float:
    """Return since when a connection is idle."""
    return found[0]

"""The order of a trial: what the service tells the child process, as JSON on its command line."""

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # the child imports this module before it is confined, and no library with it
    from tailfuse_service.bundle import RuntimeName


class Order(NamedTuple):
    """The bundle that a trial tries, and its limits."""

    folder: str
    manifest_sha256: str  # of the manifest that the service has read and checked
    runtime: "RuntimeName"
    threads: int
    cpu_s: int  # of all threads together
    parent: int  # process id of the service

    def to_json(self) -> str:
        """Return the order as an argument of the child process."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """Return the order that an argument holds."""
        return cls(**json.loads(text))

"""What every kind of store does, and how its failures are told."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tailfuse_service.errors import BundleError
from tailfuse_service.stores.address import Address, mask_secrets

PIECE_BYTES = 1024 * 1024
CONNECT_S, READ_S = 10.0, 30.0  # time limits of one step of a network connection
MAX_CAUSE_CHARS = 300
MAX_BUNDLES = 256  # at one address

Report = Callable[[str, int], None]  # gets the name of a file, and a number of its bytes that are done


def report_nothing(file: str, n_bytes: int) -> None:
    """A `Report` that nobody reads."""


class RemoteBundle(Protocol):
    """A bundle in a store."""

    def stream(self, file: str) -> Iterator[bytes]:
        """Yield the content of a file in pieces. Raises FileNotFoundError, and what the library raises."""


class Store(Protocol):
    """Bundles at one address."""

    def find(self) -> Mapping[str, RemoteBundle]:
        """Return the bundles by name; the only one has the name "" if it lies at the address itself.

        Raises what the library raises; FileNotFoundError if there is nothing at the address.
        """

    def write(self, files: Sequence[Path], report: Report) -> None:
        """Write a new bundle at the address itself; the last of the files makes it visible.

        Raises FileExistsError if something is there, and what the library raises.
        """


@contextlib.contextmanager
def explain_failures(address: Address) -> Iterator[None]:
    """Turn what the library of a store raises into a BundleError that names the address and the cause."""
    try:
        yield
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(f"{address}: {describe_failure(error)}") from error


def describe_failure(error: Exception) -> str:
    """Return why a store failed, in one line without secrets."""
    cause = mask_secrets(" ".join(str(error).split()))[:MAX_CAUSE_CHARS]
    if isinstance(error, FileNotFoundError):
        return "nothing is there"
    if isinstance(error, FileExistsError):
        return cause or "something is there already"
    if is_denied(error) or type(error).__name__ in ("NoCredentialsError", "NoCredentials"):
        cause = cause or str(read_status(error))
        return f"access denied ({cause}); docs/STORES.md lists the variables of credentials"
    if isinstance(error, TimeoutError):
        return cause or "no answer in time"
    return f"{type(error).__name__}: {cause}" if cause else type(error).__name__


def is_denied(error: Exception) -> bool:
    """Return whether a store has refused access."""
    return isinstance(error, PermissionError) or read_status(error) in (401, 403)


def read_status(error: Exception) -> int | None:
    """Return the HTTP status that an error tells of: each library has another place for it."""
    places = (error, "status"), (error, "status_code"), (getattr(error, "response", None), "status_code")
    found = (getattr(holder, name, None) for holder, name in places)
    return next((status for status in found if isinstance(status, int)), None)

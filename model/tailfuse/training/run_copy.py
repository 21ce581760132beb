"""A copy of a run's checkpoints at an address such as s3://, with which another machine can go on."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tailfuse_service.bundle import atomic_file
from tailfuse_service.errors import BundleError
from tailfuse_service.stores.address import Address, parse_address
from tailfuse_service.stores.fsspec_store import FsspecStore
from tailfuse_service.stores.open_store import open_store
from tailfuse_service.stores.store import explain_failures

from tailfuse.errors import RunError

SCHEMES = ("s3", "gs", "az", "file")  # folders in which a file can be replaced
COPY_EVERY_S = 10.0
RUN = "run.json"
PATTERNS = (RUN, "*.pt", "*.csv", "*.npz")

log = logging.getLogger("tailfuse")


class RunCopy:
    """The files of a run's folder, and their copies at an address."""

    def __init__(self, run: Path, checkpoints: str) -> None:
        """Raises RunError if the text is no address that a run can be copied to."""
        self._run = run
        self._address = read_checkpoints_address(checkpoints)
        self._copied: dict[str, tuple[int, int]] = {}  # by name, when each was changed, and its size
        self._failing = False
        with explain_run_failures(self._address):
            store = open_store(self._address)
            assert isinstance(store, FsspecStore)  # as those of SCHEMES are
            self._store = store

    def begin(self, *, resume: bool, overwrite: bool) -> None:
        """With `resume`, fetch the run, unless the folder holds one.

        Raises RunError, also if a run is there that is neither to be continued nor replaced.
        """
        if overwrite or (resume and (self._run / RUN).exists()):
            return
        with explain_run_failures(self._address):
            names = [name for name in self._store.list_files() if is_copied(name)]
        if RUN in names and not resume:
            raise RunError(
                f"{self._address} holds a run already; continue it with --resume, replace it with "
                "--overwrite, or choose another address"
            )
        with explain_run_failures(self._address):
            for name in sorted(names, key=lambda name: name == RUN):  # the last, when all are there
                self._fetch(name)

    def _fetch(self, name: str) -> None:
        with atomic_file(self._run / name) as file:
            for piece in self._store.stream(name):
                file.write(piece)

    def clear(self) -> None:
        """Remove the copy of another run. Raises RunError."""
        with explain_run_failures(self._address):
            for name in filter(is_copied, self._store.list_files()):
                self._store.remove(name)

    def copy_first(self) -> None:
        """Copy run.json. Raises RunError: what cannot be written is told before the training."""
        with explain_run_failures(self._address):
            self._copy(self._run / RUN)

    def copy(self) -> None:
        """Copy what has changed. A failure is warned of once: it is no reason to stop a training."""
        try:
            with explain_failures(self._address):
                for file in sorted(self._run.iterdir()):
                    if is_copied(file.name):
                        self._copy(file)
            self._failing = False
        except BundleError as error:
            if not self._failing:
                log.warning("checkpoints are not copied for now: %s", error)
            self._failing = True

    def _copy(self, file: Path) -> None:
        status = file.stat()
        version = status.st_mtime_ns, status.st_size
        if self._copied.get(file.name) != version:
            self._store.replace(file)
            self._copied[file.name] = version


def read_checkpoints_address(text: str) -> Address:
    """Return the address of a run's copy. Raises RunError if it cannot be one."""
    try:
        address = parse_address(text)
    except ValueError as error:
        raise RunError(f"--checkpoints: {error}") from None
    if address is None or address.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise RunError(f"--checkpoints: '{text}' is no address of a folder; one begins with {known}")
    return address


@contextmanager
def explain_run_failures(address: Address) -> Iterator[None]:
    """Turn what a store raises into a RunError."""
    try:
        with explain_failures(address):
            yield
    except BundleError as error:
        raise RunError(f"--checkpoints: {error}") from None


def is_copied(name: str) -> bool:
    """Return whether a file of a run's folder is copied."""
    return not name.startswith(".") and any(Path(name).match(pattern) for pattern in PATTERNS)


@contextmanager
def keep_copy(copy: RunCopy | None) -> Iterator[None]:
    """Copy a run's checkpoints every few seconds while a block runs, and once more at its end."""
    if copy is None:
        yield
        return
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(COPY_EVERY_S):
            copy.copy()

    thread = threading.Thread(target=repeat, name="checkpoints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        copy.copy()

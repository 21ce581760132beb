"""The desired state: the roles of each model, and the bundles in the folder that must not be served.

All workers of a service follow one document, in memory that they share. The roles may be in a file instead,
which outlives the service and may be edited by hand.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tailfuse_service.logs import LOG
from tailfuse_service.settings.roles_file import Frozen, Roles, read_roles, write_roles


class DesiredState(Frozen):
    """The document that all workers follow."""

    roles: Mapping[str, Roles] = {}  # by model
    unloaded: Mapping[str, str] = {}  # fingerprint at the unload, by name in the folder
    generation: int = 0  # number of requested reloads


class DesiredStateStore:
    """Stores the document in a file that the workers inherit, or in this process. Any thread may use it.

    Raises ValueError if the file with the roles is there, but cannot be used.
    """

    def __init__(self, roles: Path | None = None, file: int | None = None) -> None:
        self._path = roles
        self._file = file
        self._document = b""  # the document, where there is no file
        self._lock = threading.Lock()
        self._roles: Mapping[str, Roles] = {} if roles is None else read_roles(roles)
        self._problem = ""

    def read(self) -> DesiredState:
        """Return the current document. An invalid file of roles is logged once; the old roles stay."""
        with self._lock_document():
            shared = self._shared()
            if self._path is None:
                return shared
            try:
                self._roles, problem = read_roles(self._path, self._roles), ""
            except ValueError as error:
                problem = str(error)
            if problem and problem != self._problem:
                LOG.error("roles not read; the old ones stay", extra={"reason": problem})
            self._problem = problem
            return shared.model_copy(update={"roles": self._roles})

    def change(self, change: Callable[[DesiredState], DesiredState]) -> DesiredState:
        """Change the document under a lock, and return what was written.

        Raises what `change` raises, ValueError if the file of roles cannot be used, and OSError.
        """
        with self._lock_document(), lock_folder(self._path):
            before = self._shared()
            if self._path is not None:
                before = before.model_copy(update={"roles": read_roles(self._path, self._roles)})
            after = change(before)
            if self._path is not None:
                if after.roles != before.roles:
                    write_roles(self._path, after.roles)
                self._roles = after.roles
            self._share(after if self._path is None else after.model_copy(update={"roles": {}}))
            return after

    @contextlib.contextmanager
    def _lock_document(self) -> Iterator[None]:
        """Lock the document for one thread of one process; the system's lock is only between processes."""
        with self._lock:
            if self._file is None:
                yield
                return
            os.lockf(self._file, os.F_LOCK, 0)
            try:
                yield
            finally:
                os.lockf(self._file, os.F_ULOCK, 0)

    def _shared(self) -> DesiredState:
        written = self._document
        if self._file is not None:
            written = os.pread(self._file, os.fstat(self._file).st_size, 0)
        line = written.partition(b"\n")[0]  # the rest is left of a longer document
        return DesiredState.model_validate_json(line) if line else DesiredState()

    def _share(self, desired_state: DesiredState) -> None:
        line = desired_state.model_dump_json().encode() + b"\n"
        if self._file is None:
            self._document = line
        else:
            os.pwrite(self._file, line, 0)


@contextlib.contextmanager
def lock_folder(file: Path | None) -> Iterator[None]:
    """Lock the file's folder, so that of several services with one file of roles one at a time changes it.

    A file system without locks, such as that of some networks, and a folder that is not there change nothing.
    """
    with contextlib.ExitStack() as opened:
        if file is not None:
            with contextlib.suppress(OSError):
                folder = os.open(file.parent, os.O_RDONLY)
                opened.callback(os.close, folder)  # which releases the lock
                fcntl.flock(folder, fcntl.LOCK_EX)
        yield

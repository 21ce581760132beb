"""The trials of a service: one for each bundle, although every worker opens it."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

from tailfuse_service.bundle import BundleError, Manifest, hash_manifest
from tailfuse_service.errors import NotReady

POLL_S = 0.05
MAX_RESULTS = 256
# Workers see a new bundle within two polls of the folder; a person who tries again takes longer.
REFUSED_S = 3.0

RunTrial = Callable[[Path, Manifest, threading.Event], None]


class Result(BaseModel):
    """The result of a trial."""

    problem: str | None  # None: the bundle can be used
    at: float  # monotonic time, which is the same in all processes


class Results(BaseModel):
    """The results of the last trials."""

    by_manifest: dict[str, Result] = {}  # by its hash, oldest first


class Trials:
    """Tries each bundle once. The results may be in a file that the workers inherit.

    What could not be used is tried again, except by workers that ask for it at the same time.
    """

    def __init__(self, run: RunTrial, file: int | None = None) -> None:
        self.stopping = threading.Event()  # ends a trial that is running, and lets none begin
        self._run = run
        self._file = file
        self._results = Results()  # where there is no file

    def try_bundle(self, folder: Path, manifest: Manifest) -> None:
        """Try the bundle unless that was done. Raises BundleError; NotReady if the service stops."""
        key = hash_manifest(manifest)
        with self._lock():
            result = self._read().by_manifest.get(key)
            if result is None or (result.problem is not None and time.monotonic() - result.at > REFUSED_S):
                result = self._try(folder, manifest)
                if result.problem is None or self._file is not None:
                    self._write(key, result)
        if result.problem is not None:
            raise BundleError(result.problem)

    def try_unless_first(self, folder: Path, manifest: Manifest) -> None:
        """Do the same, but trust the first bundle of the service: nothing answers yet that it could harm."""
        with self._lock():
            if not self._read().by_manifest:
                self._write(hash_manifest(manifest), Result(problem=None, at=time.monotonic()))
        self.try_bundle(folder, manifest)

    def _try(self, folder: Path, manifest: Manifest) -> Result:
        problem = None
        try:
            self._run(folder, manifest, self.stopping)
        except BundleError as error:
            problem = error.detail
        return Result(problem=problem, at=time.monotonic())

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one worker try at a time; the others wait for its result. Raises NotReady."""
        if self._file is None:
            yield
            return
        while not self._take_lock(self._file):
            if self.stopping.wait(POLL_S):
                raise NotReady("the service is stopping")
        try:
            yield
        finally:
            os.lockf(self._file, os.F_ULOCK, 0)

    @staticmethod
    def _take_lock(file: int) -> bool:
        try:
            os.lockf(file, os.F_TLOCK, 0)
        except OSError:  # another worker has it
            return False
        return True

    def _read(self) -> Results:
        if self._file is None:
            return self._results
        written = os.pread(self._file, os.fstat(self._file).st_size, 0)
        line = written.partition(b"\n")[0]  # the rest is left of a longer document
        return Results.model_validate_json(line) if line else Results()

    def _write(self, key: str, result: Result) -> None:
        results = {name: each for name, each in self._read().by_manifest.items() if name != key}
        kept = dict([*results.items(), (key, result)][-MAX_RESULTS:])
        self._results = Results(by_manifest=kept)
        if self._file is not None:
            os.pwrite(self._file, self._results.model_dump_json().encode() + b"\n", 0)

"""A mirror: a folder that follows the bundles at an address. Whatever a store does, it holds whole bundles.

The service serves this folder as any other folder of bundles. Each entry is a link into the cache.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tailfuse_service.bundle import BundleError, read_manifest
from tailfuse_service.bundle.files import is_plain_name
from tailfuse_service.logs import LOG
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.backoff import Backoff
from tailfuse_service.stores.cache import BundleCache
from tailfuse_service.stores.fetch import Head, Limits, explain_fetch, fetch_bundle, read_head
from tailfuse_service.stores.open_store import open_store
from tailfuse_service.stores.store import MAX_BUNDLES, RemoteBundle, Store, explain_failures
from tailfuse_service.stores.time_limit import call_within

LOCK = ".lock"
LOCK_POLL_S = 0.1
RESTART_S = 20.0  # a start waits this long for a store if it could serve the bundles of before
FRESH = 0.9  # of the poll interval; below 1, so that a worker does not skip its own turn
MAX_NAME_CHARS = 128


class Mirror:
    """The mirror of one address. Workers share its folder; one at a time asks the store. Its calls block."""

    def __init__(
        self,
        address: Address,
        cache: BundleCache,
        limits: Limits,
        trusted_keys: Path | None = None,
        *,
        poll_s: float,
        timeout_s: float,
    ) -> None:
        self.address = address
        key = hashlib.sha256(str(address).encode()).hexdigest()[:16]
        self.folder = cache.make_mirror(f"{address.name}-{key}")
        self._cache = cache
        self._limits = limits
        self._trusted_keys = trusted_keys
        self._poll_s = poll_s
        self._timeout_s = timeout_s
        self._store: Store | None = None
        self._backoff = Backoff()
        self._whole: set[str] = set()  # digests of bundles whose files in the cache were verified
        self._problems: dict[str, str] = {}  # by entry; "" is the address itself

    @property
    def names(self) -> list[str]:
        """The entries that lead to a bundle."""
        return sorted(each.name for each in self.folder.iterdir() if each.is_symlink() and each.is_dir())

    @property
    def is_single(self) -> bool:
        """Return whether the only entry is a bundle that lies at the address itself."""
        return self.names == [self.address.name]

    def start(self) -> None:
        """Follow the store once. Raises BundleError if there is no bundle afterwards.

        If the store fails, the bundles of before are served, which is logged.
        """
        for name in self.names:
            if not self._is_whole(self._read_digest(name)):
                (self.folder / name).unlink(missing_ok=True)
        if self.names:
            problems = self._ask_within(min(RESTART_S, self._timeout_s), again=False, wait=True)
        else:
            problems = self._ask_within(self._timeout_s, again=True, wait=True)
        if not self.names:
            raise BundleError(next(iter(problems.values()), f"{self.address} holds no bundle"))
        self._log(problems)

    def follow(self, *, again: bool = False) -> None:
        """Fetch what is new at the address, and drop what has gone. A failure is logged once; all else stays.

        `again` asks the store even if another worker has just done so, and fetches refused bundles again.
        """
        self._log(self._ask_within(self._timeout_s, again=again, wait=False))

    def _log(self, problems: dict[str, str]) -> None:
        """Log what was not a problem before."""
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                message = "bundle not fetched" if name else "store not followed; its bundles stay"
                LOG.error(message, extra={"address": str(self.address), "path": name, "reason": problem})
        self._problems = problems

    def _ask_within(self, timeout_s: float, *, again: bool, wait: bool) -> dict[str, str]:
        """Follow the store; return the problems by entry, that of the address itself under ""."""
        max_bytes = self._limits.max_bytes
        try:
            with explain_failures(self.address):
                problems = call_within(
                    timeout_s,
                    lambda cancelled: self._follow(Limits(max_bytes, cancelled), again=again, wait=wait),
                )
        except BundleError as error:
            return {"": error.detail}
        return self._problems if problems is None else problems

    def _follow(self, limits: Limits, *, again: bool, wait: bool) -> dict[str, str] | None:
        """Return the problems by entry; None if it is another worker's turn. Raises what the store raises."""
        with self._lock(limits, wait=wait) as is_held:
            if not is_held or (not again and self._is_fresh()):
                return None
            os.utime(self.folder / LOCK)
            if again:
                self._backoff.forget()
            problems, wanted, digests = {}, set(), set()
            # The tag latest of a registry comes last: it often names a bundle that has a tag of its own.
            for name, remote in sorted(self._find().items(), key=lambda each: (each[0] == "latest", each[0])):
                limits.check_time()
                try:
                    head = self._read_head(remote, limits)
                    if head is None or head.digest in digests:
                        continue
                    wanted.add(name)
                    digests.add(head.digest)
                    self._follow_entry(name, remote, head, limits)
                except BundleError as error:
                    wanted.add(name)
                    problems[name] = error.detail
            if not wanted:
                raise BundleError(
                    f"{self.address} holds no bundle: there is no manifest.json, nor one in a folder"
                )
            for name in {*self.names} - wanted:
                (self.folder / name).unlink(missing_ok=True)
                LOG.info("bundle gone from its store", extra={"address": str(self.address), "path": name})
            self._cache.prune()
            return problems

    def _find(self) -> dict[str, RemoteBundle]:
        """Return the folders that may be bundles, by entry. Raises BundleError, and what the store raises."""
        self._store = self._store or open_store(self.address)
        found = self._store.find()
        if "" in found:
            return {self.address.name: found[""]}
        if len(found) > MAX_BUNDLES:
            raise BundleError(
                f"{self.address} holds {len(found)} folders, at most {MAX_BUNDLES} are followed"
            )
        return {name: remote for name, remote in found.items() if is_entry_name(name)}

    def _read_head(self, remote: RemoteBundle, limits: Limits) -> Head | None:
        """Return the head of a bundle; None if there is none. Raises BundleError."""
        with explain_fetch(self.address, self.folder):
            try:
                return read_head(remote, limits)
            except FileNotFoundError:
                return None

    def _follow_entry(self, name: str, remote: RemoteBundle, head: Head, limits: Limits) -> None:
        """Make an entry lead to the bundle in the store. Raises BundleError."""
        if head.digest in self._whole and self._read_digest(name) == head.digest:
            return
        self._backoff.check(name, head.digest)
        try:
            if not self._is_whole(head.digest):
                with self._cache.add(head.digest) as folder, explain_fetch(self.address, folder):
                    fetch_bundle(remote, head, folder, limits, self._trusted_keys)
                LOG.info("bundle fetched", extra={"address": str(self.address), "path": name})
            if not self._cache.link(self.folder / name, head.digest):
                raise BundleError(
                    f"{self.address}: the bundle was removed from the cache; it is fetched again"
                )
        except BundleError as error:
            self._backoff.refuse(name, head.digest, error.detail)
            raise
        self._backoff.forget(name)
        self._whole.add(head.digest)

    def _is_whole(self, digest: str) -> bool:
        """Return whether the cache has a bundle with all its files; a damaged one is removed."""
        folder = self._cache.find(digest)
        if folder is None:
            return False
        try:
            read_manifest(folder)
        except BundleError as error:
            LOG.warning("cached bundle removed", extra={"address": str(self.address), "reason": error.detail})
            self._cache.drop(digest)
            return False
        return True

    def _read_digest(self, name: str) -> str:
        """Return the digest of the bundle that an entry leads to; "" if there is none."""
        try:
            return Path(os.readlink(self.folder / name)).name
        except OSError:
            return ""

    def _is_fresh(self) -> bool:
        return time.time() - (self.folder / LOCK).stat().st_mtime < FRESH * self._poll_s

    @contextlib.contextmanager
    def _lock(self, limits: Limits, *, wait: bool) -> Iterator[bool]:
        """Hold the lock of the mirror; the value is False if another process or thread has it."""
        with self._cache.explain_full():
            is_new = not (self.folder / LOCK).exists()
            file = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if is_new:
                os.utime(file, (0, 0))  # nobody has asked the store yet
        try:
            is_held = take_lock(file)
            while wait and not is_held:
                limits.check_time()
                time.sleep(LOCK_POLL_S)
                is_held = take_lock(file)
            yield is_held
        finally:
            os.close(file)


def take_lock(file: int) -> bool:
    """Take the lock of a file, or return False."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_entry_name(name: str) -> bool:
    """Return whether a folder of a store may be an entry of a mirror, which clients can ask for."""
    return (
        is_plain_name(name)
        and name.isprintable()
        and not name.startswith(".")
        and len(name) <= MAX_NAME_CHARS
    )

"""The repository: the bundle, or the folder of bundles, on disk. Its calls block."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from tailfuse_service.bundle import (
    MANIFEST,
    Bundle,
    BundleError,
    EmbeddingCache,
    Manifest,
    open_bundle,
    read_prior,
)
from tailfuse_service.errors import NotReady
from tailfuse_service.inference.rows import run_largest_batch
from tailfuse_service.logs import LOG
from tailfuse_service.settings import Settings
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.cache import BundleCache, find_cache
from tailfuse_service.stores.fetch import Limits
from tailfuse_service.stores.mirror import Mirror
from tailfuse_service.trial.trial import Trial
from tailfuse_service.trial.trials import Trials


class Entry(NamedTuple):
    """One entry of the folder."""

    fingerprint: str  # at the last attempt to open it
    bundle: Bundle | None  # the last usable one
    problem: str | None = None  # why the present entry is not usable
    duplicated: tuple[str, str] | None = None  # model and version that another entry already has


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The result of a refresh."""

    is_changed: bool  # whether the set of bundles has changed
    n_opened: int = 0
    n_refused: int = 0
    # Messages for the log and their members, see log_changes.
    changes: tuple[tuple[str, dict[str, str]], ...] = field(default=(), compare=False)

    def log_changes(self) -> None:
        """Log which bundles were loaded and unloaded; call it once the new ones answer, and not before."""
        for message, members in self.changes:
            LOG.info(message, extra=members)


class Repository:
    """The open bundles, by their names in the folder.

    In a folder these are its folders with a manifest and its .zip files; hidden ones are not looked at.
    One thread at a time refreshes; any may read `entries`.
    """

    def __init__(self, settings: Settings, trials: Trials | None = None) -> None:
        self.mirror: Mirror | None = None  # of an address
        if isinstance(settings.bundle, Address):
            self.mirror = make_mirror(settings, settings.bundle)
            self.path = self.mirror.folder
        else:
            self.path = settings.bundle
        self._settings = settings
        self._prior = None if settings.prior is None else read_prior(settings.prior)
        self.trials = trials or make_trials(settings)
        size = settings.text_cache_mb * 2**20
        self.texts = EmbeddingCache(size) if size else None  # one for all bundles
        self.is_folder = self.path.is_dir() and not (self.path / MANIFEST).exists()
        self.entries: Mapping[str, Entry] = {}
        self._fingerprints: dict[str, str] = {}  # of the last scan
        self._problem = ""  # of the folder itself

    @property
    def bundles(self) -> list[Bundle]:
        """The usable bundles."""
        return [entry.bundle for entry in self.entries.values() if entry.bundle is not None]

    def open(self, unloaded: Mapping[str, str]) -> list[Bundle]:
        """Open all usable bundles at the start. Raises BundleError if there are none."""
        if self.mirror is not None:
            self.mirror.start()
        if not self.is_folder:
            bundle = self._open(self.path, self.trials.try_unless_first)
            self.entries = {self.path.name: Entry("", bundle)}
            return self.bundles
        is_single = self.mirror is not None and self.mirror.is_single
        if self._settings.name is not None and not is_single:
            raise BundleError(
                f"{self._settings.bundle} is a folder of bundles, whose manifests name their models: "
                "serve it without --name (TAILFUSE_NAME)"
            )
        self.refresh(unloaded, again=True).log_changes()
        if not self.bundles and not unloaded:
            found = next((f"; {name}: {entry.problem}" for name, entry in self.entries.items()), "")
            where = self._settings.bundle
            raise BundleError(f"{where} has no {MANIFEST}, and no bundle in it can be used{found}")
        return self.bundles

    def refresh(self, unloaded: Mapping[str, str], *, again: bool = False) -> RefreshResult:
        """Open new and changed bundles, and drop removed ones. If a bundle is unusable, the old one stays.

        What still changes from poll to poll is being written, and not opened yet. `again` waits for nothing,
        and tries once more what could not be used; a single bundle is opened anew. What looks as it did when
        it was `unloaded` is not opened.
        """
        if not self.is_folder:
            return self._open_all([self.path.name], {self.path.name: ""}) if again else RefreshResult(False)
        fingerprints = self._scan()
        if fingerprints is None:
            return RefreshResult(False, n_refused=int(again))
        wanted = {
            name: fingerprint
            for name, fingerprint in fingerprints.items()
            if unloaded.get(name) != fingerprint
        }
        before, self._fingerprints = self._fingerprints, fingerprints
        gone = [
            name for name, entry in self.entries.items() if name not in wanted and entry.bundle is not None
        ]
        unloaded_now = tuple(
            ("bundle unloaded", {"path": name, **describe_bundle(self.entries[name].bundle)}) for name in gone
        )
        self.entries = {name: entry for name, entry in self.entries.items() if name in wanted}
        open_versions = {bundle.manifest.of for bundle in self.bundles}
        to_try = [
            name
            for name, fingerprint in sorted(wanted.items())
            if (again or before.get(name) == fingerprint)
            and self._is_new(name, fingerprint, open_versions, again=again)
        ]
        done = self._open_all(to_try, wanted)
        return replace(done, is_changed=done.is_changed or bool(gone), changes=unloaded_now + done.changes)

    def find_fingerprint(self, name: str) -> str | None:
        """Return an entry's fingerprint; None if it does not exist."""
        return None if (fingerprints := self._scan()) is None else fingerprints.get(name)

    def _is_new(
        self, name: str, fingerprint: str, open_versions: set[tuple[str, str]], *, again: bool
    ) -> bool:
        entry = self.entries.get(name)
        if entry is None or entry.fingerprint != fingerprint or (again and entry.problem is not None):
            return True
        return entry.duplicated is not None and entry.duplicated not in open_versions

    def _open_all(self, names: list[str], fingerprints: Mapping[str, str]) -> RefreshResult:
        changes: list[tuple[str, dict[str, str]]] = []
        n_refused = 0
        for name in names:
            old = self.entries[name].bundle if name in self.entries else None
            entry = self._entry(name, fingerprints[name], old)
            self.entries = {**self.entries, name: entry}
            if entry.problem is None:
                members = {"path": name, **describe_bundle(entry.bundle), **describe_bundle(old, "old_")}
                changes.append(("bundle loaded", members))
            else:
                n_refused += 1
        return RefreshResult(bool(changes), len(changes), n_refused, tuple(changes))

    def _entry(self, name: str, fingerprint: str, old: Bundle | None) -> Entry:
        """Open it. Of one that cannot be used the old bundle stays, which is logged."""
        unforeseen = duplicated = None
        try:
            path = self.path / name if self.is_folder else self.path
            bundle = self._open(path, self.trials.try_bundle)
        except NotReady:  # the service stops
            raise
        except Exception as error:
            problem = str(error).replace(f"{self.path}/", "") if self.is_folder else str(error)
            unforeseen = None if isinstance(error, BundleError) else error
        else:
            duplicated = bundle.manifest.of
            holder = next((each for each, of in self._others(name) if of == duplicated), None)
            if holder is None:
                return Entry(fingerprint, bundle)
            problem = f"{name} is model '{duplicated[0]}', version '{duplicated[1]}', and so is {holder}"
        LOG.error(
            "bundle not loaded" if old is None else "bundle not loaded; the old one stays",
            exc_info=unforeseen, extra={"path": name, "reason": problem},
        )  # fmt: skip
        return Entry(fingerprint, old, problem, duplicated)

    def _others(self, name: str) -> Iterator[tuple[str, tuple[str, str]]]:
        for each, entry in self.entries.items():
            if each != name and entry.bundle is not None:
                yield each, entry.bundle.manifest.of

    def _open(self, path: Path, trial: Callable[[Path, Manifest], None]) -> Bundle:
        settings = self._settings
        bundle = open_bundle(
            path,
            runtime=settings.runtime,
            threads=settings.threads,
            device=settings.device,
            limits=settings.limits,
            trusted_keys=settings.trusted_keys,
            prior=self._prior,
            trial=trial,
            cache=self.texts,
            keep_report=settings.share_report and not settings.no_console,
        )
        if settings.name is not None:
            manifest = bundle.manifest.model_copy(update={"name": settings.name})
            bundle = replace(bundle, manifest=manifest)
        run_largest_batch(bundle, settings)
        return bundle

    def _scan(self) -> dict[str, str] | None:
        """Return the fingerprints of all entries; None, logged once, if the folder cannot be read."""
        try:
            fingerprints = dict(scan_folder(self.path))
        except OSError as error:
            if str(error) != self._problem:
                LOG.error("folder not read; its bundles stay", extra={"reason": str(error)})
            self._problem = str(error)
            return None
        self._problem = ""
        return fingerprints


def make_mirror(settings: Settings, address: Address) -> Mirror:
    """Return the mirror of an address. Raises BundleError if its folder cannot be made."""
    cache, limits = BundleCache(find_cache(settings.store_cache)), Limits(settings.store_max_mb * 2**20)
    keys, poll_s, timeout_s = settings.trusted_keys, settings.store_poll_s, settings.store_timeout_s
    return Mirror(address, cache, limits, keys, poll_s=poll_s, timeout_s=timeout_s)


def make_trials(settings: Settings, file: int | None = None) -> Trials:
    """Return the trials of a service; `file` is what its workers share."""
    return Trials(Trial(settings.runtime, settings.threads, settings.trial_timeout_s), file)


def scan_folder(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each entry's name and fingerprint, which changes when the entry changes. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            # A client cannot ask for a name that is not printable.
            if entry.name.startswith(".") or not entry.name.isprintable():
                continue
            try:
                if entry.is_dir() and os.path.isfile(os.path.join(entry.path, MANIFEST)):
                    with os.scandir(entry.path) as files:
                        yield entry.name, make_fingerprint(files)
                elif entry.name.endswith(".zip") and entry.is_file():
                    yield entry.name, make_fingerprint([entry])
            except OSError:
                continue  # removed in the meantime


def make_fingerprint(files: Iterable["os.DirEntry[str]"]) -> str:
    """Hash the files' names, times, sizes and inodes. Raises OSError."""
    found = sorted((file.name, file.stat()) for file in files)
    stats = [(name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found]
    return blake2b(repr(stats).encode(), digest_size=8).hexdigest()


def describe_bundle(bundle: Bundle | None, prefix: str = "") -> dict[str, str]:
    """Return the log fields of a bundle."""
    if bundle is None:
        return {}
    return {f"{prefix}model": bundle.manifest.name, f"{prefix}version": bundle.manifest.version}

"""The versions of one model that are loaded, and which of them answers."""

from collections.abc import Iterable, Iterator, Mapping

from service.engine import Engine
from service.errors import UnknownModel
from service.metrics import Metrics
from service.roles import Canary, Roles, Shadow, falls_into, latest
from service.shadow import Shadowing

ROUTING_KEY = b"x-routing-key"  # requests with the same value get the same version
LATEST = "latest"

Headers = Iterable[tuple[bytes, bytes]]


class Versions:
    """At least one engine of one model. A role of a version that is not loaded waits until it is."""

    def __init__(self, engines: Mapping[str, Engine], roles: Roles, metrics: Metrics) -> None:
        self.roles = roles
        self._engines = dict(engines)
        given = {each.version for each in (roles.canary, roles.shadow) if each is not None}
        free = [version for version in engines if version not in given] or list(engines)
        wanted = engines.get(roles.stable) if roles.stable is not None else None
        self.stable = wanted or engines[latest(free)]
        self.canary, shadow = self._other(roles.canary), self._other(roles.shadow)
        for each in engines.values():
            each.series.role = "none"
        if shadow is not None and roles.shadow is not None:
            shadow.series.role = "shadow"
            self.stable.shadowing = Shadowing(
                shadow.bundle,
                shadow.series,
                metrics.comparison(shadow.bundle),
                share=roles.shadow.share,
                modalities=list(self.stable.manifest.modalities),
            )
        if self.canary is not None:
            self.canary.series.role = "canary"
        self.stable.series.role = "stable"

    def _other(self, role: Canary | Shadow | None) -> Engine | None:
        """The engine that has the role, if it is loaded and not the stable one."""
        engine = None if role is None else self._engines.get(role.version)
        return None if engine is self.stable else engine

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    def stop_shadowing(self) -> None:
        """Ask the shadow no more."""
        if self.stable.shadowing is not None:
            self.stable.shadowing.close()
            self.stable.shadowing = None

    def pick(self, headers: Headers) -> Engine:
        """The engine for a request that names no version."""
        if self.canary is None or self.roles.canary is None:
            return self.stable
        key = next((value for name, value in headers if name == ROUTING_KEY), None)
        return self.canary if falls_into(self.roles.canary.share, key) else self.stable

    def pinned(self, version: str) -> Engine:
        """The engine of a version, or of `latest`. Raises UnknownModel."""
        found = self._engines.get(latest(self._engines) if version == LATEST else version)
        if found is None:
            raise UnknownModel(
                f"there is no version '{version:.80}' of it; there is {', '.join(self._engines)}",
                expected=[*self._engines, LATEST], received=f"{version:.80}",
            )  # fmt: skip
        return found

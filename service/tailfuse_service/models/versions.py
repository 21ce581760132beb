"""The loaded versions of one model, and their roles."""

from collections.abc import Iterable, Iterator, Mapping

from tailfuse_service.errors import NotReady, UnknownModel
from tailfuse_service.inference.engine import Engine
from tailfuse_service.models.roles import find_latest, is_in_share
from tailfuse_service.settings.roles_file import Roles

ROUTING_KEY = b"x-routing-key"  # requests with the same value get the same version
LATEST = "latest"

Headers = Iterable[tuple[bytes, bytes]]


class Versions:
    """At least one engine of one model, and their roles. Canary and shadow wait until they are loaded.

    So does the stable version; `before`, the one that was it, answers meanwhile if it is loaded. No other
    takes its place: who has named one does not want another to answer.
    """

    def __init__(self, engines: Mapping[str, Engine], roles: Roles, before: str | None = None) -> None:
        self._engines = dict(engines)
        self.roles = roles
        free = [version for version in engines if version not in roles.others]
        named = find_latest(free) if roles.stable is None and free else roles.stable
        require_stable = named if named in engines else before
        self.stable = None if require_stable is None else engines.get(require_stable)
        self.canary = self._other(roles.canary.version) if roles.canary is not None else None
        self.shadow = self._other(roles.shadow.version) if roles.shadow is not None else None

    def _other(self, version: str) -> Engine | None:
        """Return the version's engine, if it is loaded and does not stand in for the stable version."""
        engine = self._engines.get(version)
        return None if engine is self.stable else engine

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    def __contains__(self, version: str) -> bool:
        return version in self._engines

    def find_role(self, engine: Engine) -> str:
        """Return an engine's role: stable, canary, shadow or none."""
        roles = {"stable": self.stable, "canary": self.canary, "shadow": self.shadow}
        return next((role for role, each in roles.items() if each is engine), "none")

    def require_stable(self) -> Engine:
        """Return the stable version's engine. Raises NotReady."""
        if self.stable is None:
            named = self.roles.stable
            why = "it has no stable version" if named is None else f"its version '{named:.80}' is not loaded"
            raise NotReady(f"the model cannot answer: {why}; there is {', '.join(self._engines)}")
        return self.stable

    def pick(self, headers: Headers) -> Engine:
        """Return the engine for a request that names no version. Raises NotReady."""
        stable = self.require_stable()
        if self.canary is None or self.roles.canary is None:
            return stable
        key = next((value for name, value in headers if name == ROUTING_KEY), None)
        return self.canary if is_in_share(self.roles.canary.share, key) else stable

    def find_version(self, version: str) -> Engine:
        """Return the engine of a version. `latest` is the last version that is neither canary nor shadow.

        Raises UnknownModel.
        """
        if version == LATEST:
            return self._engines[find_latest(set(self._engines) - self.roles.others or self._engines)]
        found = self._engines.get(version)
        if found is None:
            raise UnknownModel(
                f"there is no version '{version:.80}' of it; there is {', '.join(self._engines)}",
                expected=[*self._engines, LATEST], received=f"{version:.80}",
            )  # fmt: skip
        return found

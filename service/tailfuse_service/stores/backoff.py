"""Bundles that could not be used are fetched again, but ever more rarely: they may be large."""

from typing import NamedTuple

from tailfuse_service.bundle import BundleError

MAX_PAUSE = 64  # polls


class Refused(NamedTuple):
    """A bundle of a store that could not be used, and when it is fetched again."""

    digest: str
    problem: str
    pause: int  # polls between two fetches
    left: int


class Backoff:
    """Refused bundles, by entry."""

    def __init__(self) -> None:
        self._refused: dict[str, Refused] = {}

    def check(self, name: str, digest: str) -> None:
        """Raises BundleError, with the problem of before, while the same bundle must wait."""
        refused = self._refused.get(name)
        if refused is not None and refused.digest == digest and refused.left:
            self._refused[name] = refused._replace(left=refused.left - 1)
            raise BundleError(refused.problem)

    def refuse(self, name: str, digest: str, problem: str) -> None:
        """Note that a bundle could not be used: the next pause is twice the last."""
        before = self._refused.get(name)
        pause = min(2 * before.pause, MAX_PAUSE) if before is not None and before.digest == digest else 1
        self._refused[name] = Refused(digest, problem, pause, pause)

    def forget(self, name: str | None = None) -> None:
        """Forget one entry, or all: they are fetched at the next poll."""
        if name is None:
            self._refused.clear()
        else:
            self._refused.pop(name, None)

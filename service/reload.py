"""A new bundle without a restart: the path of the settings is opened again, with all checks of a start."""

import asyncio
from asyncio import Task
from collections.abc import Callable

from service.bundle import Bundle, BundleError
from service.logs import LOG
from service.metrics import Metrics
from service.serving import Serving


class Reload:
    """Call it to have `open_again` called in a thread; the bundle that cannot be used changes nothing."""

    def __init__(self, serving: Serving, metrics: Metrics, open_again: Callable[[], Bundle]) -> None:
        self._serving = serving
        self._metrics = metrics
        self._open_again = open_again
        self._wanted = False
        self._task: Task[None] | None = None

    def __call__(self) -> None:
        """On the event loop. One opening at a time: all calls during one are met by one more after it."""
        self._wanted = True
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._wanted:
            self._wanted = False
            await self._reload()
        self._task = None

    async def _reload(self) -> None:
        try:
            old = self._serving.engine.manifest
            bundle = await asyncio.to_thread(self._open_again)
            self._serving.replace([bundle])
        except Exception as error:
            self._metrics.count_reload(ok=False)
            unforeseen = None if isinstance(error, BundleError) else error
            LOG.error(
                "bundle not loaded; the old one stays", exc_info=unforeseen, extra={"reason": str(error)}
            )
        else:
            self._metrics.count_reload(ok=True)
            new = bundle.manifest
            told = {"model": new.name, "version": new.version}
            LOG.info("bundle loaded", extra=told | {"old_model": old.name, "old_version": old.version})

"""The reconciler: makes the registry follow the bundles on disk and the desired state, without a restart.

Bundles are opened in a thread, with all checks of a start, and take over in one step. One that cannot be used
changes nothing.
"""

import asyncio
from asyncio import Task

from tailfuse_service.errors import NotReady
from tailfuse_service.logs import LOG
from tailfuse_service.metrics import Metrics
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.follower import StoreFollower
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.models.repository import Repository

POLL_S = 0.5  # between two checks of the desired state and the folder


class Reconciler:
    """Call it to reload everything at once."""

    def __init__(
        self,
        registry: ModelRegistry,
        metrics: Metrics,
        repository: Repository,
        desired_state: DesiredStateStore,
        follower: StoreFollower | None = None,
    ) -> None:
        self.repository = repository
        self.desired_state = desired_state
        self._registry = registry
        self._metrics = metrics
        self._follower = follower
        self._generation = desired_state.read().generation  # of the open bundles
        self._again = False
        self._task: Task[None] | None = None
        self._refreshing = asyncio.Lock()  # held during a refresh

    def __call__(self) -> None:
        """Request a reload, on the event loop. Requests during a refresh are served by one more refresh."""
        self._again = True
        self._refresh_soon()

    async def watch(self) -> None:
        """Follow the desired state and the folder until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._follow()
            except Exception as error:
                LOG.error("what admins want could not be read", exc_info=error)

    async def _follow(self) -> None:
        """Assign changed roles at once; open bundles in the background."""
        desired_state = await asyncio.to_thread(self.desired_state.read)
        if desired_state.roles != self._registry.roles:
            self._registry.assign(desired_state.roles)
        self._again |= desired_state.generation != self._generation
        if self._again or self.repository.is_folder:
            self._refresh_soon()

    def _refresh_soon(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._refresh_while_wanted())

    async def _refresh_while_wanted(self) -> None:
        try:
            await self.refresh(again=self._again)
            while self._again:
                await self.refresh(again=True)
        except NotReady:
            LOG.info("bundles not taken up; the service is stopping")
        except Exception as error:
            LOG.error("bundles not looked at", exc_info=error)
        finally:
            self._task = None

    async def refresh(self, *, again: bool = False) -> None:
        """Make the registry serve the bundles that are on disk and wanted now."""
        async with self._refreshing:
            self._again &= not again
            if again and self._follower is not None:
                self._follower.wake()
            desired_state = await asyncio.to_thread(self.desired_state.read)
            self._generation = max(self._generation, desired_state.generation) if again else self._generation
            done = await asyncio.to_thread(self.repository.refresh, desired_state.unloaded, again=again)
            for is_usable in (*[True] * done.n_opened, *[False] * done.n_refused):
                self._metrics.count_reload(ok=is_usable)
            if not done.is_changed:
                return
            # Read again: a version that was just opened must not answer before its role is known.
            desired_state = await asyncio.to_thread(self.desired_state.read)
            if desired_state.roles != self._registry.roles:
                self._registry.assign(desired_state.roles)
            self._registry.replace(self.repository.bundles)
            done.log_changes()

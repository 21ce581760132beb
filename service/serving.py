"""Which bundle answers. Another one may take its place between two requests."""

import asyncio
from asyncio import Task

from service.bundle import Bundle
from service.engine import Engine
from service.errors import NotReady
from service.metrics import Metrics
from service.settings import Settings


class Serving:
    """The engine of the bundle that is served; without a bundle the service is not ready.

    A request is read, run and answered by the engine that it got when it was whole.
    """

    def __init__(self, bundle: Bundle | None, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._engine = None if bundle is None else Engine(bundle, settings, metrics)
        self._closing: dict[Engine, Task[None]] = {}  # those that still answer what they have taken
        self._closed = False
        metrics.queue_depth.set_function(self._depth)

    @property
    def engine(self) -> Engine:
        """The one that answers what is asked now. Raises NotReady."""
        if self._closed:
            raise NotReady("the service is stopping")
        if self._engine is None:
            raise NotReady("no bundle is loaded")
        return self._engine

    @property
    def is_ready(self) -> bool:
        return self._engine is not None and not self._closed

    @property
    def bundle(self) -> Bundle | None:
        """The last one, also while the service stops."""
        return None if self._engine is None else self._engine.bundle

    def replace(self, bundle: Bundle) -> None:
        """Whatever is asked from now on, `bundle` answers. On the event loop only. Raises NotReady."""
        old, self._engine = self.engine, Engine(bundle, self._settings, self._metrics)
        self._metrics.retire(old.series)
        # As a task it begins after those that the old one has begun, so that it waits for them.
        task = self._closing[old] = asyncio.create_task(old.close())
        task.add_done_callback(lambda _: self._closing.pop(old))

    async def close(self) -> None:
        """Not ready from now on; what has been taken is still answered."""
        self._closed = True
        if self._engine is not None:
            await self._engine.close()
        await asyncio.gather(*self._closing.values())

    def _depth(self) -> int:
        """How many samples wait for their run. Any thread may ask."""
        engines = tuple(self._closing)
        return sum(map(len, engines)) + (0 if self._engine is None else len(self._engine))

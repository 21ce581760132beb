"""Which bundles answer: models by name, each in one version or several. They may change between requests."""

import asyncio
from asyncio import Task
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from service.bundle import Bundle
from service.engine import Engine
from service.errors import NotReady, UnknownModel
from service.metrics import Metrics
from service.roles import Roles
from service.settings import Settings
from service.versions import Headers, Versions


class Serving:
    """The engines of the bundles that are served; without the default model the service is not ready.

    A request is read, run and answered by the engine that it got when it was whole. All of this happens on
    the event loop.
    """

    def __init__(self, bundles: Iterable[Bundle], settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._models: dict[str, Versions] = {}
        self._roles: dict[str, Roles] = {}
        self._default = settings.default_model
        self._closing: dict[Engine, Task[None]] = {}  # those that still answer what they have taken
        self._closed = False
        metrics.queue_depth.set_function(self._depth)
        self._replace(bundles)

    # --- who answers ---

    def find(self, name: str | None = None, version: str | None = None, headers: Headers = ()) -> Engine:
        """The engine that answers now: of the default model, or of one by name and version.

        Raises NotReady, UnknownModel.
        """
        if self._closed:
            raise NotReady("the service is stopping")
        model = self._models.get(name or self._default or "")
        if model is None:
            raise self._missing(name)
        return model.pick(headers) if version is None else model.pinned(version)

    def _missing(self, name: str | None) -> NotReady | UnknownModel:
        if name is None:
            what = f"model '{self._default}' is not loaded" if self._default else "no bundle is loaded"
            return NotReady(what)
        there = list(self._models)
        return UnknownModel(
            f"there is no model '{name:.80}'; there is {', '.join(there) or 'none'}",
            expected=there, received=f"{name:.80}",
        )  # fmt: skip

    @property
    def engine(self) -> Engine:
        """The default model's stable version. Raises NotReady."""
        if self._closed:
            raise NotReady("the service is stopping")
        if self._default not in self._models:
            raise self._missing(None)
        return self._models[self._default].stable

    @property
    def models(self) -> Mapping[str, Versions]:
        """Those that are loaded, by name."""
        return self._models

    @property
    def is_ready(self) -> bool:
        return self._default in self._models and not self._closed

    @property
    def bundle(self) -> Bundle | None:
        """The default model's, also while the service stops."""
        model = self._models.get(self._default or "")
        return None if model is None else model.stable.bundle

    # --- what is served ---

    def replace(self, bundles: Iterable[Bundle]) -> None:
        """Whatever is asked from now on, exactly these bundles answer. Raises NotReady."""
        if self._closed:
            raise NotReady("the service is stopping")
        self._replace(bundles)

    def assign(self, roles: Mapping[str, Roles]) -> None:
        """Who answers for each model; those that are not named have their latest version answer."""
        self._roles = dict(roles)
        self._settle(
            {name: {each.manifest.version: each for each in self._models[name]} for name in self._models}
        )

    def _replace(self, bundles: Iterable[Bundle]) -> None:
        before = {id(engine.bundle): engine for engine in self._engines()}
        engines: dict[str, dict[str, Engine]] = {}
        for (name, version), bundle in {each.manifest.of: each for each in bundles}.items():
            engine = before.pop(id(bundle), None) or Engine(bundle, self._settings, self._metrics)
            engines.setdefault(name, {})[version] = engine
        self._settle(engines)
        for old in before.values():
            self._metrics.retire(old.series)
            # As a task it begins after those that the old one has begun, so that it waits for them.
            task = self._closing[old] = asyncio.create_task(old.close())
            task.add_done_callback(partial(self._forget, old))

    def _forget(self, engine: Engine, _: Task[None]) -> None:
        del self._closing[engine]

    def _settle(self, engines: Mapping[str, Mapping[str, Engine]]) -> None:
        for model in self._models.values():
            model.stop_shadowing()
        self._models = {
            name: Versions(versions, self._roles.get(name, Roles()), self._metrics)
            for name, versions in sorted(engines.items())
        }
        self._default = self._default or next(iter(self._models), None)

    def _engines(self) -> Iterator[Engine]:
        return (engine for model in self._models.values() for engine in model)

    async def close(self) -> None:
        """Not ready from now on; what has been taken is still answered."""
        self._closed = True
        for model in self._models.values():
            model.stop_shadowing()
        await asyncio.gather(*(engine.close() for engine in self._engines()), *self._closing.values())

    def _depth(self) -> int:
        """How many samples wait for their run. Any thread may ask."""
        return sum(map(len, (*self._closing, *self._engines())))

"""The model registry: models by name, each with one or more versions. It may change between requests."""

import asyncio
from asyncio import Task
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import NotReady, UnknownModel
from tailfuse_service.inference.engine import Engine
from tailfuse_service.inference.shadow import ShadowRunner
from tailfuse_service.metrics import Metrics
from tailfuse_service.models.versions import Headers, Versions
from tailfuse_service.settings import Settings
from tailfuse_service.settings.roles_file import Roles


class ModelRegistry:
    """The engines of the served bundles. Without the default model, the service is not ready.

    A request is read, run and answered by the engine that it got when it was whole. All of this happens on
    the event loop.
    """

    def __init__(
        self,
        bundles: Iterable[Bundle],
        settings: Settings,
        metrics: Metrics,
        roles: Mapping[str, Roles] | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._models: dict[str, Versions] = {}
        self._roles = dict(roles or {})
        self._default = settings.default_model or None
        self._shadow_runners: dict[Engine, ShadowRunner] = {}  # by the stable version's engine
        self._draining: dict[Engine, Task[None]] = {}  # engines that still answer accepted samples
        self._ending: set[Task[None]] = set()  # shadows that still process accepted samples
        self._closed = False
        metrics.queue_depth.set_function(self._depth)
        self._replace(bundles)

    # --- lookup ---

    def find(self, name: str | None = None, version: str | None = None, headers: Headers = ()) -> Engine:
        """Return the engine that answers: of the default model, or of a named model and version.

        Raises NotReady, UnknownModel.
        """
        model = self.model(name)
        return model.pick(headers) if version is None else model.find_version(version)

    def stable(self, name: str | None = None) -> Engine:
        """Return the stable version of the default or a named model. Raises NotReady, UnknownModel."""
        return self.model(name).require_stable()

    def model(self, name: str | None = None) -> Versions:
        """Return the versions of the default or a named model. Raises NotReady, UnknownModel."""
        if self._closed:
            raise NotReady("the service is stopping")
        model = self._models.get(self._default or "" if name is None else name)
        if model is not None:
            return model
        if name is None:
            raise NotReady(
                f"model '{self._default:.80}' is not loaded" if self._default else "no bundle is loaded"
            )
        there = list(self._models)
        raise UnknownModel(
            f"unknown model '{name:.80}'; loaded: {', '.join(there) or 'none'}",
            expected=there, received=f"{name:.80}",
        )  # fmt: skip

    @property
    def engine(self) -> Engine:
        """The engine of the default model's stable version. Raises NotReady."""
        return self.stable()

    @property
    def models(self) -> Mapping[str, Versions]:
        """The loaded models, by name."""
        return self._models

    @property
    def roles(self) -> Mapping[str, Roles]:
        """The assigned roles, including those of models that are not loaded."""
        return self._roles

    @property
    def default(self) -> str | None:
        """The name of the default model."""
        return self._default

    @property
    def n_draining(self) -> int:
        """Number of bundles that are no longer served but still answer accepted samples."""
        return len(self._draining)

    @property
    def is_ready(self) -> bool:
        """Return whether there is a bundle to answer with, and the service is not stopping."""
        return self.bundle is not None and not self._closed

    @property
    def bundle(self) -> Bundle | None:
        """The bundle of the default model's stable version, also while the service stops."""
        model = self._models.get(self._default or "")
        return None if model is None or model.stable is None else model.stable.bundle

    # --- changes ---

    def replace(self, bundles: Iterable[Bundle]) -> None:
        """Serve exactly these bundles from now on. Raises NotReady."""
        if self._closed:
            raise NotReady("the service is stopping")
        self._replace(bundles)

    def assign(self, roles: Mapping[str, Roles]) -> None:
        """Assign roles by model. A model without roles is answered by its latest version."""
        self._roles = dict(roles)
        self._assign_roles(
            {name: {each.manifest.version: each for each in model} for name, model in self._models.items()}
        )

    def _replace(self, bundles: Iterable[Bundle]) -> None:
        before = {id(engine.bundle): engine for engine in self._engines()}
        engines: dict[str, dict[str, Engine]] = {}
        for (name, version), bundle in {each.manifest.of: each for each in bundles}.items():
            engine = before.pop(id(bundle), None)
            if engine is None:
                engine = Engine(bundle, self._settings, self._metrics)
            engines.setdefault(name, {})[version] = engine
        self._assign_roles(engines)
        for old in before.values():
            self._metrics.retire(old.model_metrics)
            # A task starts after the tasks that the old engine has started, and thus waits for them.
            task = self._draining[old] = asyncio.create_task(old.close())
            task.add_done_callback(partial(self._drained, old))

    def _drained(self, engine: Engine, _: Task[None]) -> None:
        del self._draining[engine]

    def _assign_roles(self, engines: Mapping[str, Mapping[str, Engine]]) -> None:
        """Assign the roles to the versions; an unchanged shadow continues."""
        before, self._models = self._models, {
            name: Versions(versions, self._roles.get(name, Roles()), self._stable_version(name))
            for name, versions in sorted(engines.items())
        }  # fmt: skip
        # The only model was replaced by one with another name.
        renamed = not self._settings.default_model and list(before) == [self._default] and len(engines) == 1
        if self._default is None or renamed:
            self._default = next(iter(self._models), None)
        for model in self._models.values():
            for engine in model:
                engine.model_metrics.role = model.find_role(engine)
        self._start_shadows()

    def _stable_version(self, name: str) -> str | None:
        model = self._models.get(name)
        return None if model is None or model.stable is None else model.stable.manifest.version

    def _start_shadows(self) -> None:
        """Start and end shadows, so that each follows its model's stable version."""
        before, self._shadow_runners = self._shadow_runners, {}
        for model in self._models.values():
            stable, shadow, role = model.stable, model.shadow, model.roles.shadow
            if stable is None or shadow is None or role is None:
                continue
            runner = before.get(stable)
            if runner is not None and runner.matches(shadow.bundle, role.share):
                del before[stable]
            else:
                runner = ShadowRunner(
                    shadow.bundle,
                    shadow.model_metrics,
                    self._metrics.comparison(shadow.bundle),
                    share=role.share,
                    modalities=list(stable.manifest.modalities),
                )
            self._shadow_runners[stable] = stable.shadow_runner = runner
        for stable, old in before.items():
            if stable.shadow_runner is old:
                stable.shadow_runner = None
            task = asyncio.create_task(old.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _engines(self) -> Iterator[Engine]:
        return (engine for model in self._models.values() for engine in model)

    async def close(self) -> None:
        """Stop accepting requests, and answer the accepted ones."""
        self._closed = True
        shadows = [each.close() for each in self._shadow_runners.values()]
        engines = [engine.close() for engine in self._engines()]
        await asyncio.gather(*engines, *shadows, *self._draining.values(), *self._ending)

    def _depth(self) -> int:
        """Return the number of waiting samples. Any thread may call this."""
        return sum(map(len, (*self._draining, *self._engines())))

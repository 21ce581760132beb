"""Requests and answers of /admin/: models, versions, roles, and the bundles in the folder."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from tailfuse_service.inference.engine import Engine
from tailfuse_service.models.reconciler import Reconciler
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.settings.roles_file import Frozen, Roles


class Promote(Frozen):
    """The request to make a version stable."""

    version: str | None = Field(default=None, description="Version to promote; default: the canary.")


class Load(Frozen):
    """The request to load a bundle of the folder."""

    path: str = Field(description="The bundle's name in the folder.")


class Unload(Frozen):
    """The request to unload a bundle of the folder."""

    name: str
    version: str


class VersionStatus(BaseModel):
    """A loaded version."""

    version: str
    role: str = Field(description="stable, canary, shadow or none.")
    path: str | None = Field(description="Its name in the folder.")
    loaded_at: datetime
    load_seconds: float
    in_flight: int = Field(description="Accepted samples without an answer, in this worker.")


class ModelStatus(BaseModel):
    """A model, its versions and its assigned roles."""

    name: str
    roles: Roles
    waiting: list[str] = Field(description="Versions with a role that are not loaded.")
    versions: list[VersionStatus]


class BundleStatus(BaseModel):
    """An entry of the folder. With a problem, name and version are those of the bundle that stays loaded."""

    path: str
    name: str | None
    version: str | None
    problem: str | None = Field(description="Why the present entry is not usable.")
    unloaded: bool


class ServiceStatus(BaseModel):
    """The state of the service. Bundles are unloading until they have answered all accepted samples."""

    default: str | None = Field(description="Model used when the request names none.")
    models: list[ModelStatus]
    bundles: list[BundleStatus]
    unloading: int


class Status:
    """Describes the current state."""

    def __init__(self, registry: ModelRegistry, reconciler: Reconciler) -> None:
        self._registry = registry
        self._reconciler = reconciler

    def describe_service(self) -> ServiceStatus:
        """Return all models, roles and entries of the folder."""
        registry = self._registry
        names = sorted({*registry.models, *registry.roles})
        unloaded = self._reconciler.desired_state.read().unloaded
        paths = sorted({*self._reconciler.repository.entries, *unloaded})
        return ServiceStatus(
            default=registry.default,
            models=[self.describe_model(name) for name in names],
            bundles=[self.describe_bundle(path) for path in paths],
            unloading=registry.n_draining,
        )

    def describe_model(self, name: str) -> ModelStatus:
        """Describe a model; it may have roles without a loaded version."""
        model = self._registry.models.get(name)
        roles = self._registry.roles.get(name, Roles())
        versions = []
        if model is not None:
            versions = [self._describe_version(engine, model.find_role(engine)) for engine in model]
        waiting = sorted(roles.versions - {each.version for each in versions})
        return ModelStatus(name=name, roles=roles, waiting=waiting, versions=versions)

    def _describe_version(self, engine: Engine, role: str) -> VersionStatus:
        bundle = engine.bundle
        return VersionStatus(
            version=bundle.manifest.version,
            role=role,
            path=self.find_path(bundle.manifest.of),
            loaded_at=datetime.fromtimestamp(bundle.loaded_at, UTC),
            load_seconds=round(bundle.load_seconds, 3),
            in_flight=engine.in_flight,
        )

    def describe_bundle(self, path: str) -> BundleStatus:
        """Return an entry of the folder: what it holds, or why it cannot be used."""
        entry = self._reconciler.repository.entries.get(path)
        manifest = None if entry is None or entry.bundle is None else entry.bundle.manifest
        return BundleStatus(
            path=path,
            name=None if manifest is None else manifest.name,
            version=None if manifest is None else manifest.version,
            problem=None if entry is None else entry.problem,
            unloaded=entry is None,
        )

    def find_path(self, model_version: tuple[str, str]) -> str | None:
        """Return the folder's entry of a model and version."""
        entries = self._reconciler.repository.entries.items()
        return next(
            (
                path
                for path, entry in entries
                if entry.bundle is not None and entry.bundle.manifest.of == model_version
            ),
            None,
        )

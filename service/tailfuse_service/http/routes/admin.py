"""The routes below /admin/: loaded bundles and the roles of versions. They need an admin key."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from tailfuse_service.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidInput,
    UnknownBundle,
    UnknownModel,
    UnusableBundle,
)
from tailfuse_service.http.asgi import ClientDisconnected
from tailfuse_service.http.compression import read_unpacked_body
from tailfuse_service.http.openapi.document import json_body, problem_responses
from tailfuse_service.http.openapi.example_errors import (
    ADMIN_ERRORS,
    CONFLICT,
    INVALID_ROLES,
    UNKNOWN_BUNDLE,
    UNKNOWN_MODEL,
    UNUSABLE,
)
from tailfuse_service.http.paths import ADMIN, MODEL
from tailfuse_service.http.routes.status import (
    BundleStatus,
    Load,
    ModelStatus,
    Promote,
    ServiceStatus,
    Status,
    Unload,
)
from tailfuse_service.modalities.json_text import parse_json
from tailfuse_service.models.desired_state import DesiredState
from tailfuse_service.models.reconciler import Reconciler
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.models.roles import promote_version
from tailfuse_service.settings import Settings
from tailfuse_service.settings.roles_file import Roles

MAX_BODY_BYTES = 64 * 1024

T = TypeVar("T", bound=BaseModel)


def admin_routes(registry: ModelRegistry, reconciler: Reconciler, settings: Settings) -> APIRouter:
    """Return the routes."""

    def only_with_keys() -> None:
        if settings.admin_keys is None:
            raise Forbidden(
                "admin calls need admin keys: set a file of keys with --admin-keys "
                "(TAILFUSE_ADMIN_KEYS)", expected="an admin's key",
            )  # fmt: skip

    router = APIRouter(prefix=ADMIN, tags=["admin"], dependencies=[Depends(only_with_keys)])
    status = Status(registry, reconciler)

    async def write(change: Callable[[DesiredState], DesiredState]) -> None:
        """Write a change of the desired state. Raises Conflict, and what `change` raises."""
        try:
            desired_state = await asyncio.to_thread(reconciler.desired_state.change, change)
        except OSError as error:
            raise Conflict(f"{settings.roles} cannot be written: {error.strerror}") from None
        except ValueError as error:
            raise Conflict(f"the file of roles is invalid; correct it first: {error}") from None
        registry.assign(desired_state.roles)

    async def change_roles(name: str, change: Callable[[Roles], Roles]) -> ModelStatus:
        model = registry.model(name)

        def change_desired(desired_state: DesiredState) -> DesiredState:
            roles = change(desired_state.roles.get(name, Roles()))
            if roles.stable is not None and roles.stable not in model:
                raise Conflict(
                    f"version '{roles.stable:.80}' is not loaded, so it cannot become the stable one",
                    expected=[engine.manifest.version for engine in model], received=f"{roles.stable:.80}",
                )  # fmt: skip
            return desired_state.model_copy(update={"roles": {**desired_state.roles, name: roles}})

        await write(change_desired)
        return status.describe_model(name)

    @router.get(
        "/models",
        summary="Loaded models and bundles",
        operation_id="getStatus",
        responses=responses("/models"),
    )
    async def models() -> ServiceStatus:
        """Models, versions, roles, and the entries of the folder. Counts are of the worker that answers."""
        return status.describe_service()

    @router.put(
        f"{MODEL}/roles",
        summary="Set the roles of a model",
        operation_id="setRoles",
        responses=responses("/models/digits/roles", UNKNOWN_MODEL, CONFLICT, INVALID_ROLES),
        openapi_extra=json_body(
            Roles,
            {"stable": "1", "canary": {"version": "2", "share": 0.05}, "shadow": None},
            {"stable": "1", "shadow": {"version": "2", "share": 1.0}},
        ),
    )
    async def set_roles(name: str, request: Request) -> ModelStatus:
        """Sets all roles at once. The stable version must be loaded; canary and shadow may follow later.

        All workers follow within a second.
        """
        roles = await read_request(request, Roles)
        return await change_roles(name, lambda _: roles)

    @router.post(
        f"{MODEL}/promote",
        summary="Make a version the stable one",
        operation_id="promoteVersion",
        responses=responses("/models/digits/promote", UNKNOWN_MODEL, CONFLICT, INVALID_ROLES),
        openapi_extra=json_body(Promote, {}, {"version": "2"}, required=False),
    )
    async def promote(name: str, request: Request) -> ModelStatus:
        """Makes the canary, or the named version, stable. It loses its other role."""
        version = (await read_request(request, Promote)).version

        def change(roles: Roles) -> Roles:
            if version is not None:
                return promote_version(roles, version)
            if roles.canary is None:
                raise Conflict("there is no canary; name the version to promote", expected="version")
            return promote_version(roles, roles.canary.version)

        return await change_roles(name, change)

    @router.post(
        "/load",
        summary="Open a bundle of the folder",
        operation_id="loadBundle",
        responses=responses("/load", UNKNOWN_BUNDLE, CONFLICT, UNUSABLE),
        openapi_extra=json_body(Load, {"path": "digits-2.zip"}),
    )
    async def load(request: Request) -> BundleStatus:
        """Opens a bundle that was unloaded or unusable. New bundles are opened automatically."""
        name = (await read_request(request, Load)).path
        check_folder(reconciler)
        if await asyncio.to_thread(reconciler.repository.find_fingerprint, name) is None:
            raise UnknownBundle(f"the folder has no bundle '{name:.80}'", received=f"{name:.80}")

        def without(desired_state: DesiredState) -> DesiredState:
            unloaded = {
                each: fingerprint for each, fingerprint in desired_state.unloaded.items() if each != name
            }
            return desired_state.model_copy(
                update={"unloaded": unloaded, "generation": desired_state.generation + 1}
            )

        await write(without)
        await reconciler.refresh(again=True)
        found = status.describe_bundle(name)
        if found.problem is not None:
            raise UnusableBundle(found.problem)
        return found

    @router.post(
        "/unload",
        summary="Unload a version",
        operation_id="unloadVersion",
        responses=responses("/unload", UNKNOWN_MODEL, CONFLICT, INVALID_ROLES),
        openapi_extra=json_body(Unload, {"name": "digits", "version": "1"}),
    )
    async def unload(request: Request) -> ServiceStatus:
        """The version answers its accepted samples, then frees its memory. It stays unloaded until it changes
        or is loaded again.
        """
        target = await read_request(request, Unload)
        check_folder(reconciler)
        check_unloadable(registry, target)
        path = status.find_path((target.name, target.version))
        fingerprint = (
            None if path is None else await asyncio.to_thread(reconciler.repository.find_fingerprint, path)
        )
        if path is not None and fingerprint is not None:  # else it was removed from the folder
            await write(
                lambda desired_state: desired_state.model_copy(
                    update={"unloaded": {**desired_state.unloaded, path: fingerprint}}
                )
            )
        await reconciler.refresh()
        return status.describe_service()

    @router.post(
        "/reload",
        summary="Reload everything",
        operation_id="reloadModels",
        responses=responses("/reload"),
    )
    async def look_again() -> ServiceStatus:
        """Like SIGHUP: reads the folder at once, and retries unusable bundles."""
        await write(
            lambda desired_state: desired_state.model_copy(
                update={"generation": desired_state.generation + 1}
            )
        )
        await reconciler.refresh(again=True)
        return status.describe_service()

    return router


def responses(path: str, *examples: Any) -> dict[int | str, dict[str, Any]]:
    """Return the problems of an admin call, for its operation in the OpenAPI document."""
    return problem_responses(ADMIN + path, *ADMIN_ERRORS, *examples)


def check_folder(reconciler: Reconciler) -> None:
    """Raise Conflict if the service was started with a single bundle."""
    if not reconciler.repository.is_folder:
        raise Conflict("the service was started with a single bundle; only those of a folder come and go")


def check_unloadable(registry: ModelRegistry, target: Unload) -> None:
    """Raise UnknownModel, or Conflict for a version that has a role."""
    model = registry.model(target.name)
    if target.version not in model:
        versions = [engine.manifest.version for engine in model]
        raise UnknownModel(
            f"unknown version '{target.version:.80}'; loaded: {', '.join(versions)}",
            expected=versions, received=f"{target.version:.80}",
        )  # fmt: skip
    role = model.find_role(model.find_version(target.version))
    if target.version in model.roles.versions or (role == "stable" and model.roles.others):
        raise Conflict(f"version '{target.version:.80}' is the {role} one; give its role to another first")


async def read_request(request: Request, kind: type[T]) -> T:
    """Parse the body; an empty one is an empty object. Raises ClientError."""
    try:
        body = await read_unpacked_body(request.scope, request.receive, MAX_BODY_BYTES)
    except ClientDisconnected:
        raise BadRequest("the body did not arrive") from None
    try:
        return kind.model_validate(parse_json(body or b"{}"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(
            f"{where}: {message}" if where else message, expected=message, received=where
        ) from None

"""`serve run tailfuse_service.ray:app bundle=…`: replicas on a Ray cluster, as many as the requests need.

Ray Serve's proxy takes the connections. Each replica is the whole service, in a process of its own, without
the server of `process`. See docs/RAY.md.
"""

import asyncio
import socket
from typing import Any

import uvicorn
from pydantic import ValidationError
from ray import serve

from tailfuse_service import logs
from tailfuse_service.app import create_app
from tailfuse_service.errors import NotReady
from tailfuse_service.http.paths import METRICS
from tailfuse_service.http.router import Router
from tailfuse_service.logs import LOG
from tailfuse_service.modalities.image.features import suppress_pillow_warnings
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.repository import Repository
from tailfuse_service.process.server import listen, make_url, return_freed_memory
from tailfuse_service.settings import Settings
from tailfuse_service.settings.explain import explain

# What Ray does, or Serve's own configuration says.
OF_RAY = ("host", "port", "workers", "worker_timeout_s", "grpc_port")
# Between the first requests that wait and a batch that is full; Serve's configuration may say otherwise.
TARGET_IN_FLIGHT = 16
MAX_REPLICAS = 8
MAX_PORTS = 100  # for metrics: replicas of one machine take the first that is free


def app(given: dict[str, Any]) -> serve.Application:
    """Return the Serve application for the given settings; others are read from TAILFUSE_ variables.

    Raises ValueError if they are not valid.
    """
    settings = read_settings(given)
    deployment: Any = serve.deployment(  # its types know no class that is given with options
        serve.ingress()(Replica),
        name="tailfuse",
        max_ongoing_requests=settings.max_concurrency,
        autoscaling_config={
            "min_replicas": 1,
            "max_replicas": MAX_REPLICAS,
            "target_ongoing_requests": TARGET_IN_FLIGHT,
        },
        ray_actor_options={
            "num_cpus": max(1, settings.threads),
            "num_gpus": int(settings.device.startswith("cuda")),
        },
        graceful_shutdown_timeout_s=settings.stop_timeout_s,
    )
    bound: serve.Application = deployment.bind(settings)
    return bound


def read_settings(given: dict[str, Any]) -> Settings:
    """Return the settings of every replica. Raises ValueError, which names the first that is wrong."""
    refused = [name for name in OF_RAY if name in given]
    if refused:
        raise ValueError(f"{refused[0]}: on Ray this is set in the configuration of Ray Serve, not here")
    try:
        # Ray's proxy may listen on all addresses.
        return Settings(**{**given, "host": "0.0.0.0", "port": 8000, "workers": 1, "grpc_port": None})
    except ValidationError as error:
        raise ValueError(explain(error)) from None


class Replica:
    """One replica: the bundles, opened once, and the application."""

    def __init__(self, settings: Settings) -> None:
        logs.configure(settings.log_level)
        return_freed_memory()
        suppress_pillow_warnings()
        self._settings = settings
        self._app: Router | None = None
        self._metrics: asyncio.Task[None] | None = None

    async def __serve_build_asgi_app__(self) -> Router:
        """Open the bundles and return the application. Raises BundleError if one cannot be opened."""
        settings = self._settings
        repository = Repository(settings)
        desired_state = DesiredStateStore(settings.roles)
        bundles = repository.open(desired_state.read().unloaded)
        own = listen_for_metrics(settings)
        if own is not None:
            settings = settings.model_copy(update={"metrics_port": own.getsockname()[1]})
        self._app = create_app(
            settings, *bundles, stopping=repository.trials.stopping, repository=repository,
            desired_state=desired_state,
        )  # fmt: skip
        if own is not None:
            LOG.info("metrics started", extra={"url": f"{make_url(own)}{METRICS}"})
            server = uvicorn.Server(
                uvicorn.Config(self._app, lifespan="off", ws="none", access_log=False, log_config=None)
            )
            self._metrics = asyncio.create_task(server.serve(sockets=[own]))
        return self._app

    async def check_health(self) -> None:
        """Raise NotReady if no model can answer; Serve then starts another replica."""
        if self._app is None or not self._app.registry.is_ready:
            raise NotReady("no model is loaded")


def listen_for_metrics(settings: Settings) -> socket.socket | None:
    """Return a socket at the metrics port, or at the next that is free; None if there is no such setting.

    Raises OSError if none of them is free.
    """
    first = settings.metrics_port
    if first is None:
        return None
    for port in range(first, min(first + MAX_PORTS, 65536)):
        try:
            return listen(settings.metrics_address, port)
        except OSError as error:
            problem = error
    raise problem

"""`python -m service BUNDLE`: settings, bundle, port, and uvicorn until it is told to stop."""

import math
import signal
import socket
import sys
from typing import Any, Literal, get_args, get_origin

import click
import uvicorn
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from service import logs
from service.app import create_app
from service.bundle import BundleError, open_bundle
from service.logs import LOG
from service.protocol import Protocol
from service.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what has been asked and return.

    The port opens after the bundle does: whoever can connect gets answers, and a service that cannot
    answer is never there. Exits with one sentence and code 1 if either cannot be opened.
    """
    logs.configure(settings.log_level)
    try:
        bundle = open_bundle(
            settings.bundle,
            runtime=settings.runtime,
            threads=settings.threads,
            device=settings.device,
            limits=settings.limits,
        )
        listener = listen(settings.host, settings.port)
    except (BundleError, OSError) as error:
        sys.exit(f"tailfuse: {error}")
    config = uvicorn.Config(
        create_app(settings, bundle),
        http=Protocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,  # longer than the proxies in front, or they meet closed connections
        timeout_graceful_shutdown=math.ceil(settings.request_timeout_s) + 1,
    )
    address, port = listener.getsockname()[:2]
    manifest = bundle.manifest
    model = {"model": manifest.name, "version": manifest.version, "device": bundle.runtime.device}
    LOG.info("started", extra={"url": f"http://{address}:{port}", "runtime": settings.runtime, **model})
    # Uvicorn raises the signal that stopped it once more at its end; by then all is done.
    signal.signal(signal.SIGTERM, exit_cleanly)
    signal.signal(signal.SIGINT, exit_cleanly)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        LOG.info("stopped")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError, which names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise OSError(f"cannot listen on {host}:{port}: {reason}") from None


def exit_cleanly(*_: Any) -> None:
    """What a signal means once uvicorn has stopped."""
    sys.exit(0)


def option_of(name: str, field: FieldInfo) -> click.Parameter:
    """The flag of one setting; what it may be is checked by Settings alone."""
    if name == "bundle":
        return click.Argument(["bundle"], required=False)
    default = "" if field.default in (None, "", False) else f"  [{field.default}]"
    told = f"{field.description}{default}"
    if field.annotation is bool:
        return click.Option([f"--{name.replace('_', '-')}"], is_flag=True, default=None, help=told)
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        metavar="|".join(choices) or getattr(field.annotation, "__name__", "value").upper(),
        help=told,
    )


def main(**flags: str | bool | None) -> None:
    """Serve a BUNDLE, a folder or a .zip, over HTTP.

    Every setting may be given as a variable too: TAILFUSE_BUNDLE, TAILFUSE_PORT, …
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "missing":
            raise click.UsageError("no bundle: name its folder or .zip, or set TAILFUSE_BUNDLE") from None
        where = f"--{name.replace('_', '-')} (TAILFUSE_{name.upper()}): " if name else ""
        raise click.UsageError(f"{where}{first['msg'].removeprefix('Value error, ')}") from None
    serve(settings)


command = click.Command(
    "serve",
    callback=main,
    params=[option_of(name, field) for name, field in Settings.model_fields.items()],
    help=main.__doc__,
)


if __name__ == "__main__":
    command(prog_name="python -m service")

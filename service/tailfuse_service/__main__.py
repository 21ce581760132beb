"""`python -m tailfuse_service BUNDLE`: read the settings, then start one process or several workers."""

import signal

if __name__ == "__main__" and hasattr(signal, "pthread_sigmask"):
    # The imports take a second, in which a SIGHUP would end the process. It waits until HangUps takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

import sys
from typing import Literal, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tailfuse_service import logs
from tailfuse_service.bundle import BundleError
from tailfuse_service.logs import LOG
from tailfuse_service.process.hangup import HangUps
from tailfuse_service.settings import Settings
from tailfuse_service.settings.explain import explain


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer the accepted requests and return.

    The port opens after the bundle: a client that can connect gets answers. If the bundle or the port cannot
    be opened, the process prints one sentence and exits with code 1.
    """
    hang_ups = HangUps()
    logs.configure(settings.log_level)
    if settings.workers > 1:
        from tailfuse_service.process.supervisor import supervise

        sys.exit(supervise(settings, hang_ups))
    from tailfuse_service.models.desired_state import DesiredStateStore
    from tailfuse_service.models.repository import Repository
    from tailfuse_service.process.server import end_process, listen, make_url, run

    try:
        repository = Repository(settings)
        desired_state = DesiredStateStore(settings.roles)
        bundles = repository.open(desired_state.read().unloaded)
        listener = listen(settings.host, settings.port)
    except (BundleError, OSError, ValueError) as error:
        sys.exit(f"tailfuse: {error}")
    manifest, device = bundles[0].manifest, bundles[0].runtime.device
    model = {"model": manifest.name, "version": manifest.version} if len(bundles) == 1 else {}
    where = {
        "url": make_url(listener),
        "runtime": settings.runtime,
        "device": device,
        "bundles": len(bundles),
    }
    try:
        run(
            settings,
            repository,
            desired_state,
            listener,
            started=lambda: LOG.info("started", extra=where | model),
            hang_ups=hang_ups,
        )
    except OSError as error:  # the gRPC port
        sys.exit(f"tailfuse: {error}")
    except SystemExit:  # a signal has stopped it
        LOG.info("stopped")
        end_process()
        raise


def make_option(name: str, field: FieldInfo) -> click.Parameter:
    """Return the command-line option of one setting. Settings alone checks its value."""
    if name == "bundle":
        return click.Argument(["bundle"], required=False)
    default = "" if field.default in (None, "", False) else f"  [{field.default}]"
    help_text = f"{field.description}{default}"
    if field.annotation is bool:
        return click.Option([f"--{name.replace('_', '-')}"], is_flag=True, default=None, help=help_text)
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        metavar="|".join(choices) or getattr(field.annotation, "__name__", "value").upper(),
        help=help_text,
    )


def main(**flags: str | bool | None) -> None:
    """Serve a BUNDLE over HTTP.

    BUNDLE is a folder or a .zip, a folder of bundles, or an address of a store like s3://models/skin.
    Every setting can also be an environment variable: TAILFUSE_BUNDLE, TAILFUSE_PORT, …
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise click.UsageError(explain(error)) from None
    serve(settings)


command = click.Command(
    "serve",
    callback=main,
    params=[make_option(name, field) for name, field in Settings.model_fields.items()],
    help=main.__doc__,
)


if __name__ == "__main__":
    command(prog_name="python -m tailfuse_service")

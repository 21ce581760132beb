"""tailfuse demo"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import click

import tailfuse
from tailfuse.cli import INTERRUPTED
from tailfuse.errors import UserError

# -P: a file in the working folder is not imported in place of a library.
PYTHON = (sys.executable, "-P")


@click.command("demo", short_help="Train on 855 digits, serve, and show what to try.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True,
    help="The port that the service listens on.",
)  # fmt: skip
@click.option(
    "--folder", type=click.Path(path_type=Path), default="quickstart", show_default=True,
    help="Where table, spec, run and example requests go.",
)  # fmt: skip
@click.option("--serve/--no-serve", default=True, show_default=True, help="Start the service at the end.")
@click.pass_context
def command(ctx: click.Context, port: int, folder: Path, serve: bool) -> None:
    """Train on 855 handwritten digits, export, serve, and show what to try.

    A second call serves the bundle that the first one made.
    """
    if serve:
        check_is_free(port)
    bundle = folder / "run" / "bundle"
    if not (bundle / "manifest.json").exists():
        try:
            make_bundle(folder)
        except KeyboardInterrupt:
            click.echo(f"or with: {shlex.join(['tailfuse', *ctx.find_root().obj])}", err=True)
            ctx.exit(INTERRUPTED)
    if serve:
        serve_and_show(folder, bundle, port)


def check_is_free(port: int) -> None:
    """Raises UserError now, rather than after a minute of training."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise UserError(f"port {port}: {why}; choose another --port") from None


def make_bundle(folder: Path) -> None:
    """Write the quick-start folder and train on it, going on where an earlier call was stopped."""
    spec = folder / "spec.yaml"
    if not spec.exists():
        tailfuse.write_quickstart(folder)
        click.echo(f"855 handwritten digits are in {folder}/", err=True)
    # In a process of its own: the service that follows needs none of torch's memory.
    arguments = ["train", str(spec), "--out", str(folder / "run"), "--resume"]
    training = subprocess.Popen([*PYTHON, "-m", "tailfuse", *arguments])
    try:
        status = training.wait()
    except KeyboardInterrupt:
        training.wait()  # the terminal has interrupted it too, and it says how to continue
        raise
    if status:
        raise UserError("the quick-start model was not trained; see above")


def serve_and_show(folder: Path, bundle: Path, port: int) -> None:
    """Start the service, wait until it is ready, print what to try, and stay until it stops."""
    service = subprocess.Popen([*PYTHON, "-m", "tailfuse_service", str(bundle), "--port", str(port)])
    signal.signal(signal.SIGTERM, lambda *_: service.terminate())  # never leave it behind
    try:
        while service.poll() is None and not ready(port):
            time.sleep(0.05)
        if service.poll() is None:
            click.echo(what_to_try(folder, port))
        status = service.wait()
    except KeyboardInterrupt:
        status = service.wait()  # the terminal has told it too
    sys.exit(status)


def ready(port: int) -> bool:
    """Return whether the service on this machine says that it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, reset, timed out, or not ready yet
        return False


def what_to_try(folder: Path, port: int) -> str:
    """Return requests to paste: an image alone, numbers alone, both."""
    example = folder / "example"
    url = f"http://127.0.0.1:{port}"
    image, fourier, shape = (
        shlex.quote(f"{each}{example / file}")
        for each, file in (("image=@", "image.png"), ("fourier=<", "fourier.json"), ("shape=<", "shape.json"))
    )
    numbers = shlex.quote(f"@{example / 'numbers.json'}")
    return f"""
The service is ready at {url}   (stop it with Ctrl-C)

An image alone:
  curl -F {image} {url}/predict

Numbers alone (a 6; see the confidence of its shape moments, which cannot tell a 6 from a 9):
  curl -H 'Content-Type: application/json' -d {numbers} {url}/predict

Both:
  curl -F {image} -F {fourier} \\
       -F {shape} {url}/predict

See also: {url}/ (the console)   {url}/docs   {url}/model   {url}/metrics
The report: {folder}/run/bundle/report.html   The spec: {folder}/spec.yaml
"""

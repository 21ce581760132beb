"""tailfuse bench: the command of the distribution tailfuse-bench, where that is installed."""

from importlib import import_module
from importlib.util import find_spec

import click

from tailfuse.errors import UserError

PACKAGE = "tailfuse_bench"


@click.command(
    "bench",
    short_help="Compare the method with others on many datasets.",
    help="Compare the method with others on many datasets. Needs the distribution tailfuse-bench.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def install_hint(arguments: tuple[str, ...]) -> None:
    """Say how to install the command. Raises UserError."""
    raise UserError(
        "tailfuse bench needs the distribution tailfuse-bench; pip install ./benchmarks in a checkout"
    )


def load_command() -> click.Command:
    """Return the command of tailfuse-bench; without it, one that says how to install it.

    The package is imported by its name: the bench depends on tailfuse, and tailfuse not on the bench.
    """
    if find_spec(PACKAGE) is None:
        return install_hint
    command: click.Command = import_module(f"{PACKAGE}.command").command
    return command


command = load_command()

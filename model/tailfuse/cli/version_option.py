"""The option --version of the commands that write a bundle: the bundle's version, not tailfuse's."""

from collections.abc import Callable
from typing import Any

import click

RESERVED = "latest"  # in a URL it names the last version


def version_option(default: str) -> Callable[[Any], Any]:
    """Make the option; `default` says what the version is without it."""
    return click.option(
        "--version", metavar="VERSION", callback=check_version,
        help=f"Version of the bundle (tailfuse's own: tailfuse --version).  [{default}]",
    )  # fmt: skip


def check_version(ctx: click.Context, param: click.Parameter, version: str | None) -> str | None:
    """A version has a place in a URL, /models/NAME/versions/VERSION. Raises click.BadParameter."""
    if version is None:
        return None
    if not version.strip() or "/" in version or version == RESERVED or version in (".", ".."):
        raise click.BadParameter(
            f"'{version}' cannot be a version, which is a part of a URL; take for example 2 or 2026-06"
        )
    return version

"""The option --prior: the class shares that answers hold for."""

from collections.abc import Callable
from typing import Any

import click
from tailfuse_service.bundle import PRIORS, PriorError, read_prior

METAVAR = "|".join((*PRIORS, "FILE"))


def prior_option(default: str) -> Callable[[Any], Any]:
    """Return the option. Its value is a name, the shares that a file gives by class, or None."""
    return click.option(
        "--prior",
        metavar=METAVAR,
        callback=parse_prior,
        help="Class shares that answers hold for: equal, as in training, these to the power 0.25, or those "
        f"of a YAML or JSON file with a share for each class.  [{default}]",
    )


def parse_prior(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
    """Raises click.BadParameter."""
    try:
        return None if text is None else read_prior(text)
    except PriorError as error:
        raise click.BadParameter(str(error)) from None

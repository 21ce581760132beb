"""tailfuse cross-validate"""

import json
from pathlib import Path

import click

import tailfuse
from tailfuse.cli.options import overwrite_option
from tailfuse.cli.train import check_overrides
from tailfuse.errors import UserError
from tailfuse.files.output import check_ending, check_output

EXIT_STATUSES = """\
Exit status: 0 if all went well; 1 if nothing was written, and the last line says why; 2 if the command line
is wrong."""


@click.command("cross-validate", short_help="Evaluate a spec in folds.", epilog=EXIT_STATUSES)
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Number of folds.")
@click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=check_overrides,
    help="Override a key of the spec, as in training.epochs=20. May be repeated.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="File for the out-of-fold predictions; its ending is the format: .csv, .parquet or .jsonl.",
)  # fmt: skip
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON on stdout.")
def command(
    spec: Path, folds: int, overrides: tuple[str, ...], out: Path | None, overwrite: bool, as_json: bool
) -> None:
    """Train on all folds but one and evaluate on that one, for each fold of the rows that SPEC describes.

    Groups of the spec stay together. The test rows of its split are in no fold. No bundle is written.
    """
    check_ending(out)
    loaded = tailfuse.load_spec(spec, overrides)
    check_output(out, overwrite, sources=[spec, loaded.table])

    from rich.console import Console

    from tailfuse.cli.log import show_warnings
    from tailfuse.files.table_writer import open_table_writer

    console = Console(stderr=True)
    show_warnings(console)
    with console.status(f"training {folds} folds …"):
        result = tailfuse.cross_validate(loaded, folds)
    if out is not None:
        try:
            with open_table_writer(out) as write:
                write(result.predictions)
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror}") from None
        click.echo(f"Written: {out}", err=True)
    if as_json:
        summary = {metric: {"mean": mean, "sd": sd} for metric, mean, sd in result.summary.rows()}
        click.echo(json.dumps({"folds": result.scores.to_dicts(), "summary": summary}, indent=1))
    else:
        click.echo(repr(result))

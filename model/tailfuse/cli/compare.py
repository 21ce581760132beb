"""tailfuse compare"""

import json
from pathlib import Path

import click

from tailfuse.cli.options import overwrite_option
from tailfuse.errors import UserError
from tailfuse.files.output import check_ending, check_output

EXIT_STATUSES = """\
Exit status: 0 if all went well; 1 if nothing was written, and the last line says why; 2 if the command line
is wrong."""


@click.command("compare", short_help="Put bundles side by side on one table.", epilog=EXIT_STATUSES)
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data", "table", required=True, type=click.Path(path_type=Path), help="The table of labelled rows."
)
@click.option(
    "--part", type=click.Choice(["train", "val", "test"]), help="Only these rows of the specs' split."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="File for the rows with different answers; its ending is the format: .csv, .parquet or .jsonl.",
)  # fmt: skip
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON on stdout.")
def command(
    bundles: tuple[Path, ...], table: Path, part: str | None, out: Path | None, overwrite: bool, as_json: bool
) -> None:
    """Answer the same labelled rows with two or more BUNDLES, and test the differences to the first."""
    check_output(out, overwrite, sources=[table], bundles=bundles)
    check_ending(out)

    import polars as pl
    from rich.console import Console

    from tailfuse.api.compare_bundles import compare_bundles
    from tailfuse.cli.log import show_warnings
    from tailfuse.files.table_writer import open_table_writer

    show_warnings(Console(stderr=True))
    result = compare_bundles(bundles, table, part=part)
    if out is not None:
        try:
            with open_table_writer(out) as write:
                write(result.differing)
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.strerror}") from None
        click.echo(f"Written: {out}", err=True)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=1))
        return
    click.echo(repr(result))
    with pl.Config(
        tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
        tbl_formatting="ASCII_MARKDOWN", fmt_str_lengths=60, tbl_width_chars=-1, float_precision=3,
    ):  # fmt: skip
        click.echo(f"\n{result.by_class}\n\n{result.by_subset}")

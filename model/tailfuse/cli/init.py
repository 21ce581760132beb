"""tailfuse init"""

import shlex
from pathlib import Path

import click

from tailfuse.errors import UserError
from tailfuse.files.output import write_output


@click.command("init", short_help="Write a first spec by looking at a table.")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="spec.yaml", show_default=True, help="The spec."
)
@click.option("--label", metavar="COLUMN", help="The column to predict; without it, init guesses.")
@click.option("--separator", metavar="CHARACTER", help="Of a .csv, where its lines do not show it.")
@click.option("--encoding", help="Of a .csv that is not UTF-8: latin-1, for example.")
@click.option("--force", is_flag=True, help="Overwrite the spec if it is there.")
def command(
    table: Path, out: Path, label: str | None, separator: str | None, encoding: str | None, force: bool
) -> None:
    """Write a first spec by looking at TABLE: a .csv, .tsv, .xlsx, .parquet, .feather or .jsonl.

    The spec says in comments what was guessed and why; read it before you train.
    """
    from tailfuse.data.scaffold import scaffold_spec
    from tailfuse.files.reading import Reading, check_encoding, check_separator

    if out.exists() and not force:
        raise UserError(f"{out} is there already; --force overwrites it, --out writes elsewhere")
    try:
        separator = separator and check_separator(separator)
        encoding = encoding and check_encoding(encoding)
    except ValueError as error:
        raise click.UsageError(f"--separator or --encoding {error}") from None
    text = scaffold_spec(table, out.parent, label, Reading(separator=separator, encoding=encoding))
    write_output(out, text)
    click.echo(text)
    click.echo(f"Written to {out}. Next: {shlex.join(['tailfuse', 'train', str(out)])}", err=True)

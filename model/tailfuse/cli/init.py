"""tailfuse init"""

import shlex
from pathlib import Path

import click

from tailfuse.cli.output import write_output
from tailfuse.errors import UserError


@click.command("init", short_help="Write a first spec by looking at a table.")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="spec.yaml", show_default=True, help="The spec."
)
@click.option("--label", metavar="COLUMN", help="The column to predict; without it, init guesses.")
@click.option("--force", is_flag=True, help="Overwrite the spec if it is there.")
def command(table: Path, out: Path, label: str | None, force: bool) -> None:
    """Write a first spec by looking at TABLE: a .csv, .tsv, .xlsx, .parquet, .feather or .jsonl.

    The spec says in comments what was guessed and why; read it before you train.
    """
    from tailfuse.data.scaffold import scaffold_spec

    if out.exists() and not force:
        raise UserError(f"{out} is there already; --force overwrites it, --out writes elsewhere")
    text = scaffold_spec(table, out.parent, label)
    write_output(out, text)
    click.echo(text)
    click.echo(f"Written to {out}. Next: {shlex.join(['tailfuse', 'train', str(out)])}", err=True)

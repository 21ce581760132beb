"""tailfuse init"""

import shlex
from pathlib import Path
from typing import Literal

import click

import tailfuse


@click.command("init", short_help="Write a first spec by looking at a table.")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="spec.yaml", show_default=True, help="The spec."
)
@click.option("--label", metavar="COLUMN", help="The column to predict; without it, init guesses.")
@click.option("--separator", metavar="CHARACTER", help="Of a .csv, where its lines do not show it.")
@click.option(
    "--decimal", type=click.Choice([".", ","]), help="What 1,500 or 1.500 has, where it may mean two numbers."
)
@click.option("--encoding", help="Of a .csv that is not UTF-8: latin-1, for example.")
@click.option("--force", "--overwrite", "overwrite", is_flag=True, help="Overwrite the spec if it is there.")
def command(
    table: Path, out: Path, label: str | None, separator: str | None, decimal: Literal[".", ","] | None,
    encoding: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Write a first spec by looking at TABLE: a .csv, .tsv, .xlsx, .parquet, .feather, .jsonl or .tar.

    TABLE may also be a folder of such files, or a folder of images with a folder for each class.

    The spec says in comments what was guessed and why; read it before you train.
    """
    text = tailfuse.infer_spec(
        table, out, label=label, separator=separator, decimal=decimal, encoding=encoding, overwrite=overwrite
    )
    click.echo(text)
    click.echo(f"Written to {out}. Next: {shlex.join(['tailfuse', 'train', str(out)])}", err=True)

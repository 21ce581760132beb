"""`tailfuse push`: copy a bundle to a store."""

from pathlib import Path

import click

import tailfuse
from tailfuse.cli.transfer_progress import show_progress, show_transfer


@click.command(short_help="Copy a bundle to a store: S3, a registry, …")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="Print what was copied as JSON.")
def command(bundle: Path, address: str, as_json: bool) -> None:
    """Copy the BUNDLE (a folder or a .zip file) to ADDRESS, where nothing may be yet.

    The files are checked first. The manifest is written last, so that a service that follows the address
    never opens a part of a bundle.

    \b
        tailfuse push runs/skin/bundle s3://models/skin/4
        tailfuse serve s3://models/skin
    """
    with show_progress("pushed", hidden=as_json) as report:
        transfer = tailfuse.push(bundle, address, report=report)
    show_transfer("Pushed", transfer, transfer.address, as_json=as_json)

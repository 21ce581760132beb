"""`tailfuse pull`: copy a bundle from a store."""

from pathlib import Path

import click

import tailfuse
from tailfuse.cli.transfer_progress import show_progress, show_transfer


@click.command(short_help="Copy a bundle from a store, verified.")
@click.argument("address")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path),
    help="The copy: a new folder, or a new file ending in .zip.",
)  # fmt: skip
@click.option(
    "--trusted-keys", type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="File of public keys in PEM; a bundle that none of them has signed is refused.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was copied as JSON.")
def command(address: str, out: Path, trusted_keys: Path | None, as_json: bool) -> None:
    """Copy the bundle at ADDRESS into a new folder.

    Signature and sums are checked; a bundle that fails leaves nothing behind.

    \b
        tailfuse pull s3://models/skin/4 --out skin-4
    """
    with show_progress("fetched", hidden=as_json) as report:
        transfer = tailfuse.pull(address, out, trusted_keys=trusted_keys, report=report)
    show_transfer("Fetched", transfer, str(out), as_json=as_json)

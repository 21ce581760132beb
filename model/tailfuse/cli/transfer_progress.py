"""What `push` and `pull` show: bytes while they copy, and one line or JSON at the end."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator

import click
from tailfuse_service.stores.store import Report, report_nothing
from tailfuse_service.stores.transfer import Transfer

BETWEEN_S = 0.1  # two changes of the line


@contextlib.contextmanager
def show_progress(verb: str, *, hidden: bool) -> Iterator[Report]:
    """Show the bytes so far in one line of a terminal; elsewhere nothing."""
    if hidden or not sys.stderr.isatty():
        yield report_nothing
        return
    done, shown_at = 0, 0.0

    def report(file: str, n_bytes: int) -> None:
        nonlocal done, shown_at
        done += n_bytes
        if time.monotonic() - shown_at >= BETWEEN_S:
            shown_at = time.monotonic()
            click.echo(f"\r{done / 1e6:,.1f} MB {verb}: {file}\x1b[K", err=True, nl=False)

    try:
        yield report
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)


def show_transfer(verb: str, transfer: Transfer, where: str, *, as_json: bool) -> None:
    """Print what was copied."""
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(transfer)))
    else:
        size = f"{transfer.files} files, {transfer.bytes:,} bytes, sha256 {transfer.digest:.12}"
        click.echo(f"{verb} {transfer.name}, version {transfer.version}: {where} ({size})")

"""tailfuse adapt"""

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailfuse.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table
    from tailfuse_service.bundle import Manifest

MAX_SHOWN_CLASSES = 20  # in the table that is printed


@click.command("adapt", short_help="Fit a bundle to how frequent the classes are where it is used.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--unlabelled", "table", type=click.Path(path_type=Path), required=True,
    help="Rows from where the bundle is used. Labels are not needed; where there are, they only judge.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True,
    help="The new bundle: a folder, or a file ending in .zip.",
)  # fmt: skip
@click.option("--rows", type=click.IntRange(min=1), help="Only the first rows of the table.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON instead of a table.")
def command(bundle: Path, table: Path, out: Path, rows: int | None, as_json: bool) -> None:
    """Write BUNDLE anew, its answers fitted to how frequent the classes are among unlabelled rows.

    A bundle takes all classes as equally frequent, however rare they were in training. Where that is not so,
    accuracy gains by knowing the shares; balanced accuracy may fall, for what is rare is predicted less.
    If the rows do not show a shift beyond doubt, the new bundle answers as the old one.

    \b
    tailfuse adapt runs/digits/bundle --unlabelled june.parquet --out bundles/june
    """
    if out.exists():
        raise UserError(f"{out} is there already; choose another --out")

    from rich.console import Console
    from rich.logging import RichHandler
    from tailfuse_service.bundle import pack
    from tailfuse_service.bundle.files import read_manifest, unpacked

    from tailfuse.export.adapt import adapt_bundle, unlabelled_rows

    console = Console(stderr=True)
    logging.getLogger("tailfuse").addHandler(RichHandler(console=console, show_time=False, show_path=False))
    with unpacked(bundle) as folder, console.status("reading the table …") as status:

        def on_progress(modality: str, done: int, total: int) -> None:
            status.update(f"reading {modality} {done}/{total} …")

        given = unlabelled_rows(read_manifest(folder), table, rows, on_progress)
        status.update("answering the rows, writing and checking the bundle …")
        if out.suffix != ".zip":
            manifest = adapt_bundle(folder, given, out)
        else:
            with tempfile.TemporaryDirectory() as beside:
                manifest = adapt_bundle(folder, given, Path(beside) / "bundle")
                pack(Path(beside) / "bundle", out)
    adaptation = manifest.adaptation
    assert adaptation is not None
    if as_json:
        click.echo(adaptation.model_dump_json(indent=1))
    else:
        Console().print(shares_table(manifest))
        click.echo(sentence(manifest))
    click.echo(f"Written: {out}", err=True)


def shares_table(manifest: "Manifest") -> "Table":
    """Shares of the classes in training and here, and what their probabilities are multiplied by."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tailfuse.evaluation.evaluate import percent

    assert manifest.adaptation is not None
    prior = manifest.adaptation.prior
    total = sum(info.train_count for info in manifest.classes)
    changed = sorted(manifest.classes, key=lambda info: -abs(prior[info.name] * len(prior) - 1))
    shown = {info.name for info in changed[:MAX_SHOWN_CLASSES]}
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("class", overflow="fold")
    for heading in ("training", "estimated", "change"):
        table.add_column(heading, justify="right")
    for info in manifest.classes:
        if info.name in shown:
            share = prior[info.name]
            table.add_row(
                info.name, percent(info.train_count / total), percent(share), f"×{share * len(prior):.2f}"
            )
    if len(prior) > len(shown):
        table.caption = f"and {len(prior) - len(shown)} classes that change less"
    return table


def sentence(manifest: "Manifest") -> str:
    """What was found, in words."""
    adaptation = manifest.adaptation
    assert adaptation is not None
    found = f"{adaptation.rows:,} rows; were all classes equally frequent, p = {adaptation.p_value:.2g}. "
    if adaptation.shifted:
        found += "The change is against equal shares, which the answers took for granted."
    else:
        found += (
            "That is no shift beyond doubt: the new bundle answers as if all classes were equally frequent."
        )
    if adaptation.before is None or adaptation.after is None:
        return found
    figures = (
        f"{name} {before:.{digits}f} → {after:.{digits}f}"
        for name, before, after, digits in (
            ("accuracy", adaptation.before.accuracy, adaptation.after.accuracy, 3),
            ("balanced accuracy", adaptation.before.balanced_accuracy, adaptation.after.balanced_accuracy, 3),
            ("NLL", adaptation.before.nll, adaptation.after.nll, 3),
        )
    )
    return f"{found}\nBy the labels of these rows: {', '.join(figures)}."

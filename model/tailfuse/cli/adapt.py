"""tailfuse adapt"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import tailfuse
from tailfuse.cli.version_option import version_option
from tailfuse.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table
    from tailfuse_service.bundle import Manifest
    from tailfuse_service.bundle.manifest import Adaptation, AdaptationCheck, GroupRecall, SubsetMetrics

MAX_SHOWN_CLASSES = 20  # in the table that is printed
MIN_ACCURACY_FALL = 0.005  # a smaller one is chance on most tables
MIN_FALL = 0.01  # of few-shot recall; a smaller one is rounding in the table that is printed


@click.command("adapt", short_help="Fit a bundle to how frequent the classes are where it is used.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--unlabelled", "table", type=click.Path(path_type=Path), required=True,
    help="Rows from where the bundle is used. Labels are not needed; if there are, they measure the effect.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True,
    help="The new bundle: a folder, or a file ending in .zip.",
)  # fmt: skip
@click.option("--rows", type=click.IntRange(min=1), help="Only the first rows of the table.")
@version_option("that of BUNDLE, and +adapted")
@click.option("-y", "--yes", is_flag=True, help="Write the bundle even if accuracy or few-shot recall falls.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON instead of a table.")
def command(
    bundle: Path, table: Path, out: Path, rows: int | None, version: str | None, yes: bool, as_json: bool
) -> None:
    """Write BUNDLE anew, its answers fitted to how frequent the classes are among unlabelled rows.

    A bundle takes all classes as equally frequent, however rare they were in training. Where that is not so,
    accuracy gains by knowing the shares; balanced accuracy may fall, for what is rare is predicted less.
    If no significant shift is found, the new bundle answers as the old one.

    If accuracy falls by more than half a point, if the recall of the few-shot classes falls by more than a
    point, or if these rows have none of them, adapt asks first. Accuracy is that of the labelled rows of the
    table (cross-validated) or, where fewer than 50 have a label, of rows of the calibration set on which the
    shift is simulated. Where there is no terminal, it writes nothing and ends with status 1, unless --yes is
    given.

    \b
    tailfuse adapt runs/digits/bundle --unlabelled june.parquet --out bundles/june
    """
    from rich.console import Console

    from tailfuse.cli.log import show_warnings

    console = Console(stderr=True)
    show_warnings(console)
    with console.status("") as status:

        def approve(manifest: "Manifest", adaptation: "Adaptation") -> None:
            status.stop()
            show(manifest, adaptation, as_json)
            if not yes:
                check_falls(manifest, adaptation)
            status.start()

        tailfuse.adapt_bundle(
            bundle, table, out, rows=rows, version=version, approve=approve, on_step=status.update,
            on_load=lambda name, done, total: status.update(f"reading {name} {done}/{total} …"),
        )  # fmt: skip
    click.echo(f"Written: {out}", err=True)
    click.echo(f"Next:    {shlex.join(['tailfuse', 'serve', str(out)])}", err=True)


def check_falls(manifest: "Manifest", adaptation: "Adaptation") -> None:
    """Ask whether accuracy or few-shot recall may fall, if they do.

    Raises UserError if they may not, or without a terminal.
    """
    falls = (describe_accuracy_fall(adaptation), describe_few_shot_fall(manifest, adaptation))
    fall = "; ".join(each for each in falls if each is not None)
    if not fall:
        return
    if not is_terminal():
        raise UserError(f"{fall}; no bundle was written. Add --yes to write it nevertheless")
    if not click.confirm(f"{fall}. Write the bundle?", err=True):
        raise UserError("no bundle was written")


def describe_accuracy_fall(adaptation: "Adaptation") -> str | None:
    """Return the loss of accuracy on rows whose labels are known, in words; None if there is none."""
    check = adaptation.check
    if check is None or check.before - check.after <= MIN_ACCURACY_FALL:
        return None
    return f"accuracy falls from {check.before:.1%} to {check.after:.1%} ({describe_check(check)})"


def describe_check(check: "AdaptationCheck") -> str:
    """The rows that accuracy was checked on."""
    rows = f"{check.rows:,} row{'s' * (check.rows != 1)}"
    if check.simulated:
        return f"the shift simulated on {rows} of the calibration set"
    return f"cross-validated on the labels of {rows}"


def describe_few_shot_fall(manifest: "Manifest", adaptation: "Adaptation") -> str | None:
    """Return the loss of the few-shot classes, in words; None if there is none."""
    before, after, source = compare_recall(adaptation)
    if before.few is not None and after.few is not None:
        if before.few - after.few <= MIN_FALL:
            return None
        return f"few-shot recall falls from {before.few:.1%} to {after.few:.1%} ({source})"
    factors = [
        adaptation.prior[info.name] * len(adaptation.prior) for info in manifest.classes if info.shot == "few"
    ]
    if min(factors) > 1 - MIN_FALL:
        return None
    return (
        "few-shot recall falls by an unknown amount: these rows have no few-shot class, and the "
        f"probabilities of those classes are multiplied by {min(factors):.2f} to {max(factors):.2f}"
    )


def is_terminal() -> bool:
    """Return whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def compare_recall(
    adaptation: "Adaptation",
) -> "tuple[GroupRecall | SubsetMetrics, GroupRecall | SubsetMetrics, str]":
    """Recall by group before and after, and where it is from: labels, or else the estimate."""
    if adaptation.before and adaptation.after and adaptation.before.few is not None:
        rows = adaptation.before.rows
        return adaptation.before, adaptation.after, f"by the labels of {rows:,} row{'s' * (rows != 1)}"
    assert adaptation.estimated_before is not None
    assert adaptation.estimated_after is not None
    return adaptation.estimated_before, adaptation.estimated_after, "estimated without labels"


def show(manifest: "Manifest", adaptation: "Adaptation", as_json: bool) -> None:
    """Print what was found."""
    from rich.console import Console

    if as_json:
        click.echo(adaptation.model_dump_json(indent=1))
        return
    Console().print(make_shares_table(manifest, adaptation), make_recall_table(adaptation))
    click.echo(describe(adaptation))


def make_shares_table(manifest: "Manifest", adaptation: "Adaptation") -> "Table":
    """Shares of the classes in training and here, and what their probabilities are multiplied by."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from tailfuse.evaluation.evaluate import percent

    prior = adaptation.prior
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
            figures = percent(info.train_count / total), percent(share), f"×{share * len(prior):.2f}"
            # As a string, brackets in a name would be markup: "[unknown]" would not be shown.
            table.add_row(Text(info.name), *figures)
    if len(prior) > len(shown):
        table.caption = f"and {len(prior) - len(shown)} classes that change less"
    return table


def make_recall_table(adaptation: "Adaptation") -> "Table":
    """Recall of each class group before and after."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tailfuse.evaluation.evaluate import percent

    before, after, source = compare_recall(adaptation)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=source, caption_justify="left")
    table.add_column("recall of classes")
    for heading in ("before", "after"):
        table.add_column(heading, justify="right")
    for group in ("many", "medium", "few"):
        table.add_row(group, percent(getattr(before, group)), percent(getattr(after, group)))
    return table


def describe(adaptation: "Adaptation") -> str:
    """Return the result in words."""
    found = f"{adaptation.rows:,} rows; were all classes equally frequent, p = {adaptation.p_value:.2g}. "
    if adaptation.shifted:
        found += "The change is against equal shares, which the answers took for granted."
    else:
        found += (
            "No significant shift was found: the new bundle answers as if all classes were equally frequent."
        )
    check = adaptation.check
    if check is not None:
        found += f"\nAccuracy {check.before:.3f} → {check.after:.3f}, {describe_check(check)}."
    if adaptation.before is None or adaptation.after is None:
        return found
    figures = (
        f"{name} {before:.3f} → {after:.3f}"
        for name, before, after in (
            ("accuracy", adaptation.before.accuracy, adaptation.after.accuracy),
            ("balanced accuracy", adaptation.before.balanced_accuracy, adaptation.after.balanced_accuracy),
            ("NLL", adaptation.before.nll, adaptation.after.nll),
        )
    )
    return f"{found}\nBy the labels of {adaptation.before.rows:,} rows: {', '.join(figures)}."

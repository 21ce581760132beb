"""tailfuse bench"""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from tailfuse.errors import UserError

if TYPE_CHECKING:
    from tailfuse_bench.tasks import Task

QUICK_RATIOS, QUICK_SEEDS = [50], [0, 1]


def names(ctx: click.Context, param: click.Parameter, text: str | None) -> list[str]:
    """`pie, wiki`"""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def numbers(ctx: click.Context, param: click.Parameter, text: str) -> list[int]:
    """`0-4`, or `1,10,50`. Raises click.BadParameter."""
    found: list[int] = []
    for part in names(ctx, param, text):
        first, _, last = part.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise click.BadParameter(f"{part!r} is neither a whole number nor a range such as 0-4")
        found += range(int(first), int(last) + 1)
    if not found:
        raise click.BadParameter("at least one number is taken")
    return list(dict.fromkeys(found))


@click.command("bench", short_help="Compare the method with others on many sets.")
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that has a folder for each set.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), default="bench-results",
    show_default=True, help="Where results and report go.",
)  # fmt: skip
@click.option("--sets", metavar="NAMES", callback=names, help="Some of the sets.  [all that --data has]")
@click.option(
    "--ir", "ratios", metavar="NUMBERS", default="1,10,50,100", show_default=True, callback=numbers,
    help="Imbalance ratios of the training rows; 0: as they are.",
)  # fmt: skip
@click.option(
    "--seeds", metavar="NUMBERS", default="0-4", show_default=True, callback=numbers,
    help="Each sets the tail's classes, the split where none is given, and the initial weights.",
)  # fmt: skip
@click.option("--methods", metavar="NAMES", callback=names, help="Some of the methods, or groups.  [all]")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=os.cpu_count() or 1,
    help="Processes, of one thread each.  [as many as cores]",
)  # fmt: skip
@click.option(
    "--quick", is_flag=True,
    help="A minute's worth, on digits that come with tailfuse: IR 50, two seeds, few methods.",
)  # fmt: skip
@click.option(
    "--report/--no-report", default=True, show_default=True, help="Write report.html and report.md."
)
@click.pass_context
def command(
    ctx: click.Context, data: Path | None, out: Path, sets: list[str], ratios: list[int], seeds: list[int],
    methods: list[str], jobs: int, quick: bool, report: bool,
) -> None:  # fmt: skip
    """Train and judge methods on the same rows of many sets, at several imbalance ratios and with several
    seeds; write results.csv, reliability.csv and a report.

    A bench that was stopped goes on with the same command. Sets, seeds and methods may be added to it: what
    is done already is kept, unless its spec or its table has changed since.

    \b
    tailfuse bench --quick
    tailfuse bench --data data
    tailfuse bench --data data --sets pie,wiki --ir 50 --methods "tailfuse,concat,long tail"
    """
    from tailfuse_bench.choice import QUICK_METHODS, chosen_methods, chosen_sets
    from tailfuse_bench.datasets import DIGITS

    if quick:
        sets, methods = sets or [DIGITS.name], methods or [*QUICK_METHODS]
        given = {key for key in ctx.params if ctx.get_parameter_source(key) != ParameterSource.DEFAULT}
        ratios = ratios if "ratios" in given else QUICK_RATIOS
        seeds = seeds if "seeds" in given else QUICK_SEEDS
    chosen, folders = chosen_methods(methods), chosen_sets(sets, data, out)

    from tailfuse_bench.run import plan

    tasks = plan(folders, ratios, seeds, chosen, out)
    if not tasks:
        raise UserError("there is nothing to do: these sets, ratios and methods have no cell in common")
    failures = run(tasks, out, jobs)
    click.echo(f"Results: {out / 'results.csv'}")
    if report:
        from tailfuse_bench.report import write_report

        write_report(out)
        click.echo(f"Report:  {out / 'report.html'}")
    if failures:
        raise UserError(f"{failures} of the runs failed, see above; the same command tries them again")


def run(tasks: "list[Task]", out: Path, jobs: int) -> int:
    """Do what is left to do and write the tables; how many tasks failed."""
    from rich.console import Console

    from tailfuse_bench.progress import BenchProgress
    from tailfuse_bench.run import left_to_do, merge, of_other_code, run_tasks, write_log
    from tailfuse_bench.tasks import CELLS

    console = Console(stderr=True)
    left, there = left_to_do(tasks)
    if other := of_other_code(there.values()):
        console.print(
            f"{other} results were made by other code than this; to make them anew, delete {out / CELLS}",
            highlight=False,
        )
    begun = time.monotonic()
    try:
        with BenchProgress(console, left, there, jobs) as progress:
            return run_tasks(left, jobs, progress)
    except KeyboardInterrupt:
        console.print("Stopped; the same command goes on from here.")
        sys.exit(130)
    finally:
        merge(out)
        if left:
            write_log(out, time.monotonic() - begun, jobs)

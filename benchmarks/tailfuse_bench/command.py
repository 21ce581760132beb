"""The command `tailfuse bench`."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from tailfuse.errors import UserError

if TYPE_CHECKING:
    from tailfuse_bench.rivals.environment import Environment
    from tailfuse_bench.tasks import Task

MAX_MISSING = 50  # per cent: of two modalities each row keeps one
QUICK_RATIOS, QUICK_SEEDS = [50], [0, 1]


def names(ctx: click.Context, param: click.Parameter, text: str | None) -> list[str]:
    """Split `pie, wiki` into names."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def numbers(ctx: click.Context, param: click.Parameter, text: str) -> list[int]:
    """Parse `0-4` or `1,10,50` into numbers. Raises click.BadParameter."""
    found: list[int] = []
    for part in names(ctx, param, text):
        first, _, last = part.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise click.BadParameter(f"{part!r} is neither an integer nor a range such as 0-4")
        found += range(int(first), int(last) + 1)
    if not found:
        raise click.BadParameter("at least one number is required")
    return list(dict.fromkeys(found))


@click.command("bench", short_help="Compare the method with others on many datasets.")
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that contains one folder per dataset; one with a spec.yaml is a dataset of your own.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), default="bench-results",
    show_default=True, help="Output folder for results and report.",
)  # fmt: skip
@click.option("--sets", metavar="NAMES", callback=names, help="Datasets to use.  [all that --data contains]")
@click.option(
    "--ir", "ratios", metavar="NUMBERS", default="1,10,50,100", show_default=True, callback=numbers,
    help="Imbalance ratios of the training rows; 0 leaves them unchanged.",
)  # fmt: skip
@click.option(
    "--seeds", metavar="NUMBERS", default="0-4", show_default=True, callback=numbers,
    help="A seed determines the rare classes, the split if the table has none, and the initial weights.",
)  # fmt: skip
@click.option(
    "--methods", metavar="NAMES", callback=names, help="Methods or groups of methods to run.  [all]"
)
@click.option(
    "--missing", metavar="NUMBERS", default="0", show_default=True, callback=numbers,
    help="Per cent of the modalities that are removed at random from training and test rows.",
)  # fmt: skip
@click.option(
    "--rivals", "rivals", is_flag=False, flag_value=".venv-rivals", metavar="[FOLDER]",
    type=click.Path(path_type=Path), help="Run other libraries' classifiers too, in the environment of the "
    "folder.  [.venv-rivals, which `make .venv-rivals/rivals` makes]",
)  # fmt: skip
@click.option(
    "--rival-seconds", type=click.IntRange(1), default=600, show_default=True,
    help="Time limit for the training of one rival.",
)  # fmt: skip
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=os.cpu_count() or 1,
    help="Number of processes with one thread each.  [number of cores]",
)  # fmt: skip
@click.option(
    "--quick", is_flag=True,
    help="Run on the shipped digits: ratio 50, two seeds, few methods; about 40 s of processor time.",
)  # fmt: skip
@click.option(
    "--report/--no-report", default=True, show_default=True, help="Write report.html and report.md."
)
@click.pass_context
def command(
    ctx: click.Context, data: Path | None, out: Path, sets: list[str], ratios: list[int], seeds: list[int],
    methods: list[str], missing: list[int], rivals: Path | None, rival_seconds: int, jobs: int, quick: bool,
    report: bool,
) -> None:  # fmt: skip
    """Train and evaluate methods on the same rows of many datasets, at several imbalance ratios and with
    several seeds. Write results.csv, reliability.csv and a report.

    The same command continues a run that was stopped. Datasets, seeds and methods may be added later:
    finished results are kept unless their spec or table has changed.

    \b
    tailfuse bench --quick
    tailfuse bench --data data
    tailfuse bench --data data --sets pie,wiki --ir 50 --methods "tailfuse,concat,long tail"
    tailfuse bench --data data --ir 50 --missing 0,30 --rivals --methods "tailfuse,not neural,rivals"
    """
    from tailfuse_bench.datasets import DIGITS
    from tailfuse_bench.methods import RIVALS
    from tailfuse_bench.selection import QUICK_METHODS, select_datasets, select_methods

    if quick:
        sets = sets or [DIGITS.name]
        methods = methods or [*QUICK_METHODS, *([RIVALS] if rivals else [])]
        given = {key for key in ctx.params if ctx.get_parameter_source(key) != ParameterSource.DEFAULT}
        ratios = ratios if "ratios" in given else QUICK_RATIOS
        seeds = seeds if "seeds" in given else QUICK_SEEDS
    if percent := next((each for each in missing if each > MAX_MISSING), None):
        raise UserError(f"--missing: {percent} % is too much; expected at most {MAX_MISSING}")
    chosen = select_methods(methods, rivals=rivals is not None)
    environment, versions = prepare_rivals(rivals, rival_seconds, chosen) if rivals else (None, {})
    chosen = [name for name in chosen if versions.get(name, "") is not None]
    folders = select_datasets(sets, data, out)

    from tailfuse_bench.run import plan_tasks

    tasks = plan_tasks(folders, ratios, seeds, chosen, out, missing, environment)
    if not tasks:
        raise UserError("nothing to do: no experiment has these datasets, ratios and methods")
    described = {"versions": versions, "seconds": rival_seconds} if environment else {}
    failures = run(tasks, out, jobs, described)
    click.echo(f"Results: {out / 'results.csv'}")
    if report:
        from tailfuse_bench.report import write_report

        write_report(out)
        click.echo(f"Report:  {out / 'report.html'}")
    if failures:
        raise UserError(f"{failures} of the runs failed, see above; run the same command to retry them")


def prepare_rivals(
    folder: Path, seconds: int, chosen: list[str]
) -> "tuple[Environment, dict[str, str | None]]":
    """Return the rivals' environment and the versions in it; name the rivals that it lacks.

    Raises UserError.
    """
    from tailfuse_bench.rivals.environment import find_environment, list_versions

    environment = find_environment(folder, seconds)
    versions = list_versions(environment)
    for name in chosen:
        if versions.get(name, "") is None:
            click.echo(f"{name} is left out: it is not installed in {folder}", err=True)
    return environment, versions


def run(tasks: "list[Task]", out: Path, jobs: int, rivals: Mapping[str, object]) -> int:
    """Run the remaining tasks and write the tables. Return how many tasks failed."""
    from rich.console import Console

    from tailfuse_bench.progress import BenchProgress, format_minutes
    from tailfuse_bench.run import count_outdated, find_remaining, merge_results, run_tasks, write_log
    from tailfuse_bench.tasks import EXPERIMENTS

    console = Console(stderr=True)
    left, done = find_remaining(tasks)
    if other := count_outdated(done.values()):
        console.print(
            f"{other} results come from other code; delete {out / EXPERIMENTS} to redo them",
            highlight=False,
        )
    begun = time.monotonic()
    try:
        with BenchProgress(console, left, done, jobs) as progress:
            failures = run_tasks(left, jobs, progress)
        if left:
            console.print(f"Took {format_minutes(time.monotonic() - begun)}.", highlight=False)
        return failures
    except KeyboardInterrupt:
        console.print("Stopped; the same command continues from here.")
        sys.exit(130)
    finally:
        merge_results(out)
        if left:
            write_log(out, time.monotonic() - begun, jobs, rivals)

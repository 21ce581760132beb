"""`make bench-serve`: measure the service and its peers under the same load; print a table, write JSON."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from tailfuse_service.bundle import open_bundle

from serving_bench.bundle import prepare_bundle
from serving_bench.load import ServerFailed
from serving_bench.results import TYPICAL, Results, describe_environment
from serving_bench.round_robin import Plan, compute_expected, run
from serving_bench.servers import BEFORE, OPTIONS, OURS, PATHS, SERVERS, Server
from serving_bench.table import format_results
from serving_bench.targets import evaluate_targets
from serving_bench.workloads import make_workloads

GRID = (1, 16, 64, 256)  # connections
EVERYWHERE = (OURS, "mosec")  # servers measured at every number of connections; the others at TYPICAL


def names(ctx: click.Context, param: click.Parameter, text: str | None) -> list[str]:
    """Split a list at commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def numbers(ctx: click.Context, param: click.Parameter, text: str | None) -> list[int]:
    """Parse integers with commas. Raises click.BadParameter."""
    try:
        return [int(part) for part in names(ctx, param, text)]
    except ValueError:
        raise click.BadParameter("expected integers separated by commas") from None


@click.command()
@click.option("--servers", callback=names, help=f"Servers to measure: {', '.join(SERVERS)}.  [all]")
@click.option("--workloads", "chosen", callback=names, help="Workloads to measure.  [all]")
@click.option(
    "--connections", callback=numbers,
    help=f"[{', '.join(map(str, GRID))} for {' and '.join(EVERYWHERE)}, {TYPICAL} for the others]",
)  # fmt: skip
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Number of rounds; results are medians.",
)
@click.option("--seconds", type=click.IntRange(1), default=4, show_default=True, help="Length of one load.")
@click.option("--quick", is_flag=True, help="Run for one minute, to check that everything works.")
@click.option("--one", is_flag=True, help="Measure only the latency of one connection to the service.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default="bench-serve", show_default=True,
    help="Folder of the bundle and the servers' logs.",
)  # fmt: skip
@click.option(
    "--peers", type=click.Path(path_type=Path), default=".venv-bench/bin/python", show_default=True,
    help="Python interpreter with the peers installed.",
)  # fmt: skip
@click.option(
    "--before", metavar="COMMAND",
    help="Command that serves with another version of tailfuse, for example "
    "'env PYTHONPATH=../old python -m service'. It is measured too, as the server 'before'.",
)  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON.  [FOLDER/serve.json]")
def command(
    servers: list[str], chosen: list[str], connections: list[int], rounds: int, seconds: int, quick: bool,
    one: bool, folder: Path, peers: Path, before: str | None, out: Path | None,
) -> None:  # fmt: skip
    """Measure the service and other servers: servers on one core, the load on another."""
    if quick:
        rounds, seconds = 1, 1
        chosen, connections = chosen or ["tabular", "image+tabular"], connections or [1, TYPICAL]
    if one:
        servers, connections = servers or [OURS], connections or [1]
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise click.UsageError("two cores are required: one for the server, one for the load")
    path = prepare_bundle(folder)
    os.sched_setaffinity(0, {cores[1]})
    bundle = open_bundle(path)
    all_workloads = make_workloads(bundle)
    servers, chosen = (
        check_names(servers, SERVERS, "servers"),
        check_names(chosen, all_workloads, "workloads"),
    )
    workloads = {name: all_workloads[name] for name in chosen}
    results = Results({**describe_environment(), "rounds": rounds, "seconds": seconds, "workloads": chosen})
    pythons = {}
    if before is not None:
        program, *arguments = shlex.split(before)
        SERVERS[BEFORE] = Server("tailfuse", (*arguments, *OPTIONS), PATHS)
        pythons[BEFORE], results.versions[BEFORE] = Path(program), before
    results.settings["peers_onnxruntime_version"] = find_version("onnxruntime", peers)
    plan = Plan(
        bundle=path,
        workloads=workloads,
        first=all_workloads["tabular"],
        expected={name: compute_expected(bundle, workload) for name, workload in workloads.items()},
        pythons={**find_interpreters(servers, peers, results), **pythons},
        connections={
            name: connections or (GRID if name in EVERYWHERE else [TYPICAL]) for name in (*servers, *pythons)
        },
        rounds=rounds,
        seconds=seconds,
        cores=(cores[0], cores[1]),
        logs=folder / "logs",
    )
    try:
        run_with_progress(plan, results)
    except ServerFailed as failure:
        raise click.ClickException(f"the service: {failure}") from None
    targets = evaluate_targets(results)
    out = out or folder / "serve.json"
    results.write(out, targets)
    print(format_results(results, workloads, targets))
    print(f"\nResults: {out}", file=sys.stderr)


def run_with_progress(plan: Plan, results: Results) -> None:
    """Run the plan with a progress bar and a line per step on stderr."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(plan))

        def print_step(line: str) -> None:
            console.print(line, soft_wrap=True, markup=False)
            progress.advance(bar)

        run(plan, results, print_step)


def find_interpreters(servers: Sequence[str], peers: Path, results: Results) -> dict[str, Path]:
    """Return the interpreter of each installed server; record the others as left out."""
    pythons = {}
    for name in servers:
        python = peers if SERVERS[name].peer else Path(sys.executable)
        version = find_version(SERVERS[name].distribution, python)
        if version is None:
            results.left_out[name] = f"not installed for {python}"
        else:
            pythons[name], results.versions[name] = python, version
    return pythons


def check_names(given: list[str], all_workloads: Mapping[str, object], what: str) -> list[str]:
    """Return the given names, or all names if none are given. Raises click.UsageError."""
    for name in given:
        if name not in all_workloads:
            raise click.UsageError(
                f"--{what}: unknown name {name!r}; expected one of {', '.join(all_workloads)}"
            )
    return given or list(all_workloads)


def find_version(distribution: str, python: Path) -> str | None:
    """Return the version installed for an interpreter; None without one."""
    script = f"from importlib.metadata import version; print(version({distribution!r}))"
    try:
        found = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


if __name__ == "__main__":
    command(prog_name="python -m serving_bench.serve")

"""`make bench-serve`: the service and its peers under the same load, in turns; a table, and JSON."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from tailfuse_service.bundle import open_bundle

from serving_bench.aims import TYPICAL, aims_of
from serving_bench.bundle import bench_bundle
from serving_bench.load import ServerFailed
from serving_bench.results import Results, circumstances
from serving_bench.servers import OURS, SERVERS
from serving_bench.table import tables
from serving_bench.turns import Plan, expected_of, run
from serving_bench.workloads import workloads_of

GRID = (1, 16, 64, 256)  # connections
EVERYWHERE = (OURS, "mosec")  # servers that are measured at all of them; the others at TYPICAL


def names(ctx: click.Context, param: click.Parameter, text: str | None) -> list[str]:
    """A list with commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def numbers(ctx: click.Context, param: click.Parameter, text: str | None) -> list[int]:
    """The same of whole numbers. Raises click.BadParameter."""
    try:
        return [int(part) for part in names(ctx, param, text)]
    except ValueError:
        raise click.BadParameter("whole numbers, with commas between them, are taken") from None


@click.command()
@click.option("--servers", callback=names, help=f"Some of {', '.join(SERVERS)}.  [all]")
@click.option("--workloads", "chosen", callback=names, help="Some of the workloads.  [all]")
@click.option(
    "--connections", callback=numbers,
    help=f"[{', '.join(map(str, GRID))} for {' and '.join(EVERYWHERE)}, {TYPICAL} for the others]",
)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Medians are of these.")
@click.option("--seconds", type=click.IntRange(1), default=4, show_default=True, help="Length of one load.")
@click.option("--quick", is_flag=True, help="Does it all work? A minute, for figures that mean little.")
@click.option("--one", is_flag=True, help="Only the latency of one connection to the service.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default="bench-serve", show_default=True,
    help="Where the bundle is trained, and the servers log.",
)  # fmt: skip
@click.option(
    "--peers", type=click.Path(path_type=Path), default=".venv-bench/bin/python", show_default=True,
    help="The Python that has the peers.",
)  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON.  [FOLDER/serve.json]")
def command(
    servers: list[str], chosen: list[str], connections: list[int], rounds: int, seconds: int, quick: bool,
    one: bool, folder: Path, peers: Path, out: Path | None,
) -> None:  # fmt: skip
    """Measure the service beside other servers: each in turn on one core, the load on another."""
    if quick:
        rounds, seconds = 1, 1
        chosen, connections = chosen or ["tabular", "image+tabular"], connections or [1, TYPICAL]
    if one:
        servers, connections = servers or [OURS], connections or [1]
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise click.UsageError("two cores are needed: one to serve, one to ask")
    path = bench_bundle(folder)
    os.sched_setaffinity(0, {cores[1]})
    bundle = open_bundle(path)
    all_of_them = workloads_of(bundle)
    servers, chosen = known(servers, SERVERS, "servers"), known(chosen, all_of_them, "workloads")
    workloads = {name: all_of_them[name] for name in chosen}
    results = Results({**circumstances(), "rounds": rounds, "seconds": seconds, "workloads": chosen})
    results.settings["peers_onnxruntime_version"] = version_of("onnxruntime", peers)
    plan = Plan(
        bundle=path,
        workloads=workloads,
        first=all_of_them["tabular"],
        expected={name: expected_of(bundle, workload) for name, workload in workloads.items()},
        pythons=installed(servers, peers, results),
        connections={name: connections or (GRID if name in EVERYWHERE else [TYPICAL]) for name in servers},
        rounds=rounds,
        seconds=seconds,
        cores=(cores[0], cores[1]),
        logs=folder / "logs",
    )
    try:
        with_progress(plan, results)
    except ServerFailed as failure:
        raise click.ClickException(f"the service: {failure}") from None
    aims = aims_of(results)
    out = out or folder / "serve.json"
    results.write(out, aims)
    print(tables(results, workloads, aims))
    print(f"\nResults: {out}", file=sys.stderr)


def with_progress(plan: Plan, results: Results) -> None:
    """Run the plan; a line per step and a bar on stderr."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(plan))

        def tell(line: str) -> None:
            console.print(line, soft_wrap=True, markup=False)
            progress.advance(bar)

        run(plan, results, tell)


def installed(servers: Sequence[str], peers: Path, results: Results) -> dict[str, Path]:
    """The Python of each server that there is; the others are noted as left out."""
    pythons = {}
    for name in servers:
        python = Path(sys.executable) if name == OURS else peers
        version = version_of(SERVERS[name].distribution, python)
        if version is None:
            results.left_out[name] = f"{python} does not have it"
        else:
            pythons[name], results.versions[name] = python, version
    return pythons


def known(given: list[str], all_of_them: Mapping[str, object], what: str) -> list[str]:
    """Those that were given, all if none was. Raises click.UsageError."""
    for name in given:
        if name not in all_of_them:
            raise click.UsageError(f"--{what}: there is no {name!r}; there are {', '.join(all_of_them)}")
    return given or list(all_of_them)


def version_of(distribution: str, python: Path) -> str | None:
    """The version that this Python has; None if it has none, or is not there."""
    script = f"from importlib.metadata import version; print(version({distribution!r}))"
    try:
        found = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


if __name__ == "__main__":
    command(prog_name="python -m serving_bench.serve")

"""Format the results as Markdown."""

import statistics
from collections.abc import Iterable, Sequence

from serving_bench.results import Results, Target
from serving_bench.servers import FLOOR
from serving_bench.workloads import Workload

HEAD = (
    "connections",
    "server",
    "req/s",
    "p50 ms",
    "p99 ms",
    "CPU us",
    "above floor",
    "runtime",
    "memory MiB",
    "busy",
    "errors",
)


def format_results(results: Results, workloads: dict[str, Workload], targets: Sequence[Target]) -> str:
    """Return one table per workload, then start times, servers left out, and targets."""
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in results.settings.items() if name != "workloads")
    ]
    for name, workload in workloads.items():
        rows = [make_row(results, load.workload, workload, load.connections, load.server)
                for load in sorted(results.figures, key=lambda load: load.connections)
                if load.workload == name]  # fmt: skip
        if rows:
            parts += [f"## {name}: {workload.title}", describe_raw(results, name), format_table(HEAD, rows)]
    starts = [
        (name, results.versions[name], f"{statistics.median(times):.2f}")
        for name, times in results.ready_s.items()
    ]
    if (noise := results.find_noise()) is not None:
        parts += ["## Noise", f"CPU per request of the same server twice differs by up to {noise:.1%}."]
    parts += ["## Start", format_table(("server", "version", "first answer after s"), starts)]
    if results.left_out:
        parts += ["## Left out", "\n".join(f"- {what}: {why}" for what, why in results.left_out.items())]
    return "\n\n".join(
        [
            *parts,
            "## Targets",
            format_table(("target", "measured", "limit", ""), map(make_target_row, targets)),
        ]
    )


def make_row(results: Results, name: str, workload: Workload, connections: int, server: str) -> list[str]:
    """Return the row of one server under one load."""
    found, raw = results.median(name, connections, server), results.raw_median(name)
    assert found is not None
    floor = results.median(name, connections, FLOOR)
    samples = len(workload.requests[0])
    return [
        str(connections),
        server,
        f"{found.per_s:,.0f}",
        f"{found.p50_ms:.2f}",
        f"{found.p99_ms:.2f}",
        f"{found.cpu_us:,.0f}",
        f"{found.cpu_us - floor.cpu_us:,.0f}" if floor else "",
        f"{raw.run_us * samples / found.cpu_us:.0%}" if raw else "",
        f"{found.pss_mib:.0f}",
        f"{found.busy:.0%}",
        f"**{found.errors}**" if found.errors else "0",
    ]


def describe_raw(results: Results, name: str) -> str:
    """Describe the cost of a sample without a server; empty if not measured."""
    raw = results.raw_median(name)
    if raw is None:
        return ""
    return (
        f"One sample, without a server: onnxruntime {raw.run_us:.1f} us at batch 32, JPEG decoder "
        f"{raw.decode_us:.0f} us (Pillow, to 64x64: {raw.pillow_us:.0f} us). "
        f"One request as a call: {raw.in_process_us:.0f} us."
    )


def make_target_row(target: Target) -> tuple[str, str, str, str]:
    """Return the row of one target."""
    bound = f"{'at least' if target.at_least else 'at most'} {target.limit:.3g} {target.unit}".rstrip()
    if target.value is None:
        return target.title, "not measured", bound, ""
    return (
        target.title,
        f"{target.value:.3g} {target.unit}".rstrip(),
        bound,
        "reached" if target.reached else "**missed**",
    )


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, padded for terminals."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)

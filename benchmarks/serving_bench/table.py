"""The results as Markdown."""

import statistics
from collections.abc import Iterable, Sequence

from serving_bench.results import Aim, Results
from serving_bench.workloads import Workload

HEAD = (
    "connections",
    "server",
    "req/s",
    "p50 ms",
    "p99 ms",
    "CPU us",
    "runtime",
    "memory MiB",
    "busy",
    "errors",
)


def tables(results: Results, workloads: dict[str, Workload], aims: Sequence[Aim]) -> str:
    """One table per workload, then the starts, what was left out, and the aims."""
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in results.settings.items() if name != "workloads")
    ]
    for name, workload in workloads.items():
        rows = [row(results, cell.workload, workload, cell.connections, cell.server)
                for cell in sorted(results.figures, key=lambda cell: cell.connections)
                if cell.workload == name]  # fmt: skip
        if rows:
            parts += [f"## {name}: {workload.title}", raw_line(results, name), table(HEAD, rows)]
    starts = [
        (name, results.versions[name], f"{statistics.median(times):.2f}")
        for name, times in results.ready_s.items()
    ]
    parts += ["## Start", table(("server", "version", "first answer after s"), starts)]
    if results.left_out:
        parts += ["## Left out", "\n".join(f"- {what}: {why}" for what, why in results.left_out.items())]
    return "\n\n".join([*parts, "## Aims", table(("aim", "measured", "limit", ""), map(aim_row, aims))])


def row(results: Results, name: str, workload: Workload, connections: int, server: str) -> list[str]:
    """The cells of one server under one load."""
    found, raw = results.median(name, connections, server), results.raw_median(name)
    assert found is not None
    samples = len(workload.requests[0])
    return [
        str(connections),
        server,
        f"{found.per_s:,.0f}",
        f"{found.p50_ms:.2f}",
        f"{found.p99_ms:.2f}",
        f"{found.cpu_us:,.0f}",
        f"{raw.run_us * samples / found.cpu_us:.0%}" if raw else "",
        f"{found.pss_mib:.0f}",
        f"{found.busy:.0%}",
        f"**{found.errors}**" if found.errors else "0",
    ]


def raw_line(results: Results, name: str) -> str:
    """What one sample costs without a server; empty if that was not measured."""
    raw = results.raw_median(name)
    if raw is None:
        return ""
    return (
        f"One sample, without a server: onnxruntime {raw.run_us:.1f} us at batch 32, JPEG decoder "
        f"{raw.decode_us:.0f} us (Pillow, to 64x64: {raw.pillow_us:.0f} us). "
        f"One request as a call: {raw.in_process_us:.0f} us."
    )


def aim_row(aim: Aim) -> tuple[str, str, str, str]:
    """The cells of one aim."""
    bound = f"{'at least' if aim.at_least else 'at most'} {aim.limit:.3g} {aim.unit}".rstrip()
    if aim.value is None:
        return aim.title, "not measured", bound, ""
    return (
        aim.title,
        f"{aim.value:.3g} {aim.unit}".rstrip(),
        bound,
        "reached" if aim.reached else "**missed**",
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; columns are padded, so that it is a table in a terminal too."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)

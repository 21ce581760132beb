"""What the service is meant to reach, and whether it has."""

import statistics
from collections.abc import Callable, Iterable

from serving_bench.results import Aim, Results
from serving_bench.servers import OURS

TYPICAL = 64  # connections at which most is compared
PARTS = ("tabular", "image", "image+tabular")  # of the mix, in equal shares


class NotMeasured(Exception):
    """The bench did not run all that the aim is about."""


def aims_of(results: Results) -> list[Aim]:
    """Every aim with what was measured."""

    def cpu_us(workload: str, server: str = OURS) -> float:
        found = results.median(workload, TYPICAL, server)
        if found is None:
            raise NotMeasured
        return found.cpu_us

    def work_us(workload: str) -> float:
        raw = results.raw_median(workload)
        if raw is None:
            raise NotMeasured
        return raw.run_us + raw.decode_us

    def pillow_share() -> float:
        raw = results.raw_median("large")
        if raw is None:
            raise NotMeasured
        return cpu_us("large") / raw.pillow_us

    def tail() -> float:
        """The worst of all workloads."""
        found = [results.median(workload, TYPICAL, OURS) for workload in results.settings["workloads"]]
        return most(each.p99_ms / each.p50_ms for each in found if each is not None)

    def ready_s() -> float:
        if OURS not in results.ready_s:
            raise NotMeasured
        return statistics.median(results.ready_s[OURS])

    def memory_mib() -> float:
        found = [rounds for cell, rounds in results.figures.items() if cell.server == OURS]
        return most(each.rss_mib for rounds in found for each in rounds)

    aims = [
        aim(
            "CPU per request, tabular, over mosec's",
            lambda: cpu_us("tabular") / cpu_us("tabular", "mosec"),
            0.5,
        ),
        aim(
            "CPU per request, 64x64 JPEG + tabular, over mosec's",
            lambda: cpu_us("image+tabular") / cpu_us("image+tabular", "mosec"),
            0.8,
        ),
        aim(
            "onnxruntime's and the decoder's share of the CPU, 64x64 JPEG + tabular",
            lambda: work_us("image+tabular") / cpu_us("image+tabular"),
            0.6,
            at_least=True,
        ),
        aim(
            "CPU per request, 1024x768 JPEG + tabular, over Pillow's decoding it to 64x64", pillow_share, 0.5
        ),
        aim(
            "CPU per request of the mix, over the mean of its parts measured alone",
            lambda: cpu_us("mix") / (sum(map(cpu_us, PARTS)) / len(PARTS)),
            1.0,
        ),
        aim(f"p99 over p50 at {TYPICAL} connections, the worst of all workloads", tail, 3.0),
        aim("ready, from the start of the process to the first answer", ready_s, 1.5, "s"),
        aim("resident memory, the most of all workloads", memory_mib, 150.0, "MiB"),
    ]
    return aims + [one_connection(results, workload) for workload in results.settings["workloads"]]


def most(values: Iterable[float]) -> float:
    """Raises NotMeasured if there are none."""
    try:
        return max(values)
    except ValueError:
        raise NotMeasured from None


def aim(
    title: str, measure: Callable[[], float], limit: float, unit: str = "", *, at_least: bool = False
) -> Aim:
    """An aim and what was measured of it; nothing, if what it takes is not in the results."""
    try:
        return Aim(title, measure(), limit, unit, at_least)
    except NotMeasured:
        return Aim(title, None, limit, unit, at_least)


def one_connection(results: Results, workload: str) -> Aim:
    """Median latency at one connection against 1.2 times that of a call plus 0.3 ms."""
    found, raw = results.median(workload, 1, OURS), results.raw_median(workload)
    in_process_ms = raw.in_process_us / 1000 if raw else float("nan")
    title = f"latency of one connection, {workload}; a call takes {in_process_ms:.3f} ms"
    return Aim(title, found.p50_ms if found and raw else None, 1.2 * in_process_ms + 0.3, "ms")

"""Performance targets of the service, and whether it reaches them."""

import statistics
from collections.abc import Callable, Iterable

from serving_bench.results import TYPICAL, Results, Target
from serving_bench.servers import OURS

PARTS = ("tabular", "image", "image+tabular")  # of the mix, in equal parts


class NotMeasured(Exception):
    """The results lack a measurement that the target needs."""


def evaluate_targets(results: Results) -> list[Target]:
    """Evaluate every target on the results."""

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
        """Return the highest ratio of all workloads."""
        found = [results.median(workload, TYPICAL, OURS) for workload in results.settings["workloads"]]
        return find_maximum(each.p99_ms / each.p50_ms for each in found if each is not None)

    def ready_s() -> float:
        if OURS not in results.ready_s:
            raise NotMeasured
        return statistics.median(results.ready_s[OURS])

    def memory_mib() -> float:
        found = [rounds for load, rounds in results.figures.items() if load.server == OURS]
        return find_maximum(each.rss_mib for rounds in found for each in rounds)

    targets = [
        make_target(
            "CPU per request, tabular, over mosec's",
            lambda: cpu_us("tabular") / cpu_us("tabular", "mosec"),
            0.7,
        ),
        make_target(
            "CPU per request, 64x64 JPEG + tabular, over mosec's",
            lambda: cpu_us("image+tabular") / cpu_us("image+tabular", "mosec"),
            0.9,
        ),
        make_target(
            "CPU per request, 1024x768 JPEG + tabular, over mosec's",
            lambda: cpu_us("large") / cpu_us("large", "mosec"),
            0.9,
        ),
        make_target(
            "onnxruntime's and the decoder's share of the CPU, 64x64 JPEG + tabular",
            lambda: work_us("image+tabular") / cpu_us("image+tabular"),
            0.6,
            at_least=True,
        ),
        make_target(
            "CPU per request, 1024x768 JPEG + tabular, over Pillow's decoding it to 64x64", pillow_share, 0.5
        ),
        make_target(
            "CPU per request of the mix, over the mean of its parts measured alone",
            lambda: cpu_us("mix") / (sum(map(cpu_us, PARTS)) / len(PARTS)),
            1.0,
        ),
        make_target(f"p99 over p50 at {TYPICAL} connections, the worst of all workloads", tail, 2.0),
        make_target("ready, from the start of the process to the first answer", ready_s, 0.4, "s"),
        make_target("resident memory, the highest of all workloads", memory_mib, 150.0, "MiB"),
    ]
    return targets + [make_latency_target(results, workload) for workload in results.settings["workloads"]]


def find_maximum(values: Iterable[float]) -> float:
    """Return the maximum. Raises NotMeasured without values."""
    try:
        return max(values)
    except ValueError:
        raise NotMeasured from None


def make_target(
    title: str, measure: Callable[[], float], limit: float, unit: str = "", *, at_least: bool = False
) -> Target:
    """Return a target with its measured value; None if the results lack a measurement."""
    try:
        return Target(title, measure(), limit, unit, at_least)
    except NotMeasured:
        return Target(title, None, limit, unit, at_least)


def make_latency_target(results: Results, workload: str) -> Target:
    """Return the target of one connection: the latency of a call plus 0.4 ms."""
    found, raw = results.median(workload, 1, OURS), results.raw_median(workload)
    in_process_ms = raw.in_process_us / 1000 if raw else float("nan")
    title = f"latency of one connection, {workload}; a call takes {in_process_ms:.3f} ms"
    return Target(title, found.p50_ms if found and raw else None, in_process_ms + 0.4, "ms")

"""CPU seconds, memory and open files of a process."""

from prometheus_client import ProcessCollector

from tailfuse_service.metrics.counters import SharedCounters
from tailfuse_service.metrics.families import FAMILIES

CPU_SECONDS, START = "process_cpu_seconds", "process_start_time_seconds"


class ProcessFigures:
    """Write the process metrics of this process to its counters."""

    def __init__(self, counters: SharedCounters, *, is_worker: bool = False) -> None:
        self._counters = counters
        self._collector = ProcessCollector(registry=None)
        self._is_worker = is_worker
        self._cpu_before = counters.block(CPU_SECONDS)[0]  # of the dead workers that this one replaces

    def publish(self) -> None:
        """Write CPU time, memory, open files and start into the counters."""
        for family in self._collector.collect():
            value = family.samples[0].value
            if family.name == CPU_SECONDS:
                value += self._cpu_before
            if family.name != START or not self._is_worker:
                self._counters.block(family.name)[0] = value


def reset_gauges(counters: SharedCounters) -> None:
    """Set a dead worker's gauges to 0; its counters stay."""
    for key, numbers in counters.items():
        family = FAMILIES.get(key[0])
        kept = key[0] == CPU_SECONDS if family is None else family.kind != "gauge"
        if not kept:
            block = counters.block(*key, size=len(numbers))
            for at in range(len(numbers)):
                block[at] = 0.0

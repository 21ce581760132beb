"""What the system knows of a process."""

from prometheus_client import ProcessCollector

from tailfuse_service.metrics.cells import Cells
from tailfuse_service.metrics.families import FAMILIES

CPU_SECONDS, START = "process_cpu_seconds", "process_start_time_seconds"


class ProcessFigures:
    """Those of this process, in its cells."""

    def __init__(self, cells: Cells, *, is_worker: bool = False) -> None:
        self._cells = cells
        self._collector = ProcessCollector(registry=None)
        self._is_worker = is_worker
        self._cpu_before = cells.block(CPU_SECONDS)[0]  # of those whose place this one took

    def publish(self) -> None:
        for family in self._collector.collect():
            value = family.samples[0].value
            if family.name == CPU_SECONDS:
                value += self._cpu_before
            if family.name != START or not self._is_worker:
                self._cells.block(family.name)[0] = value


def forget_levels(cells: Cells) -> None:
    """What is true of a living worker only, for one that died."""
    for key, numbers in cells.items():
        family = FAMILIES.get(key[0])
        kept = key[0] == CPU_SECONDS if family is None else family.kind != "gauge"
        if not kept:
            block = cells.block(*key, size=len(numbers))
            for at in range(len(numbers)):
                block[at] = 0.0

"""How much of the memory limit requests may take: what is left beside what the process holds anyway."""

import asyncio
import os
from pathlib import Path

from tailfuse_service.http.memory import RequestMemory
from tailfuse_service.logs import LOG
from tailfuse_service.modalities.decoding import DecodingMemory

STATM = Path("/proc/self/statm")
# Kept free for what is not counted: short requests, batches in the model, fragments, threads' stacks.
RESERVE_BYTES, RESERVE_SHARE = 48 * 2**20, 0.1
REQUEST_SHARE, DECODING_SHARE = 0.4, 0.4  # of the rest; what remains is for rows that wait and for answers
MIN_BYTES = 16 * 2**20  # for each of the two, however little is left
IDLE_BYTES = 2**20  # held at most while the process holds as much as it does without requests
MEASURE_EVERY_S = 1.0


class MemoryPlan:
    """Sets the limits of both kinds of memory from what the process holds without requests."""

    def __init__(self, total: int, requests: RequestMemory, decoding: DecodingMemory) -> None:
        self._total = total
        self._requests, self._decoding = requests, decoding
        self._base = 0
        self._has_warned = False

    async def watch(self) -> None:
        """Set the limits now, and again as models come and go."""
        while True:
            self.adjust()
            await asyncio.sleep(MEASURE_EVERY_S)

    def adjust(self) -> None:
        """Measure what the process holds beside requests, and set the limits."""
        resident = read_resident_bytes()
        if resident is None:
            return
        held = self._requests.held + self._decoding.held
        # Under load, what is held may be less than what is reserved: the base is at least the difference.
        self._base = resident if held <= IDLE_BYTES else max(self._base, resident - held)
        free = self._total - self._base - max(RESERVE_BYTES, int(RESERVE_SHARE * self._total))
        self._requests.limit = max(int(REQUEST_SHARE * free), MIN_BYTES)
        self._decoding.set_limit(max(int(DECODING_SHARE * free), MIN_BYTES))
        if REQUEST_SHARE * free < MIN_BYTES and not self._has_warned:
            self._has_warned = True
            LOG.warning(
                "little memory is left for requests",
                extra={"limit_mb": self._total >> 20, "held_mb": self._base >> 20},
            )


def read_resident_bytes() -> int | None:
    """Return the resident memory of this process; None where the system does not tell."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None

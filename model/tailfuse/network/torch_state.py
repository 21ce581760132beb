"""Process-wide settings of torch, for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def torch_state(*, deterministic: bool, threads: int | None = None) -> Iterator[None]:
    """Run the block with these settings; restore them, and the random state, at its end.

    `threads` None leaves the number of threads as it is.
    """
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
        torch.get_num_threads(),
    )
    with torch.random.fork_rng(devices=[]):
        try:
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
            memory.fill_uninitialized_memory = False  # saves a tenth of the time
            if threads is not None:
                torch.set_num_threads(threads)
            yield
        finally:
            enabled, warn_only, fill, n_threads = before
            torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
            memory.fill_uninitialized_memory = fill
            torch.set_num_threads(n_threads)

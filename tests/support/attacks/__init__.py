"""The attacks of issue 14 on a running service, one function each."""

from tests.support.attacks import (
    bodies,
    crowds,
    heads,
    images,
    leavers,
    mixed,
    operations,
    pipelines,
    readers,
)
from tests.support.attacks.attack import ATTACKS, Attack, Target, run_attacks

__all__ = [
    "ATTACKS",
    "Attack",
    "Target",
    "bodies",
    "crowds",
    "heads",
    "images",
    "leavers",
    "mixed",
    "operations",
    "pipelines",
    "readers",
    "run_attacks",
]

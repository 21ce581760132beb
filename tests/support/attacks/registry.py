"""All attacks on a running service, one function each, by name."""

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

# Importing a module enters its attacks into ATTACKS.
MODULES = (bodies, crowds, heads, images, leavers, mixed, operations, pipelines, readers)

__all__ = ["ATTACKS", "MODULES", "Attack", "Target", "run_attacks"]

"""Attacks on a service of this project's own on loopback, bounded in connections and rate.

Each is a coroutine on one connection at a time that goes on until `end`; `ATTACKS` has all of them by name.
"""

from tests.support.attacks import bodies, connections, operations
from tests.support.attacks.target import Attack

ATTACKS: dict[str, Attack] = {
    attack.__name__.replace("_", " "): attack
    for attack in (*connections.ATTACKS, *bodies.ATTACKS, *operations.ATTACKS)
}

"""Attack a service from a process of its own, at a lower priority than honest callers on the same core.

Reads the target, the names of the attacks and the seconds as JSON from stdin. Writes a line when it begins,
and at the end what each did and got.
"""

import json
import os
import sys

import uvloop

from tests.support.attacks.registry import ATTACKS, Target, run_attacks

NICENESS = 0
BEGUN = "begun"


def main() -> None:
    os.nice(NICENESS)
    given = json.load(sys.stdin)
    for name in given["names"]:
        ATTACKS[name].prepare()
    print(BEGUN, flush=True)
    records = uvloop.run(run_attacks(given["names"], Target.from_json(given["target"]), given["seconds"]))
    json.dump(records, sys.stdout)


if __name__ == "__main__":
    main()

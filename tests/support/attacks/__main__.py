"""Run attacks in a process of their own: python -m tests.support.attacks TARGET SECONDS [NAME …].

It prints `ready` when it begins, and at the end as JSON what each attack did and met.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.support.attacks import ATTACKS
from tests.support.attacks.bodies import encode_costly_images
from tests.support.attacks.target import Target


async def attack(target: Target, seconds: float, names: list[str]) -> dict[str, dict[str, int]]:
    """Run the attacks at once; what each did and met."""
    seen = {name: Counter[str]() for name in names}
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(ATTACKS[name](target, end, seen[name]))  # type: ignore[arg-type]
    return {name: dict(each) for name, each in seen.items()}


def main() -> None:
    document, seconds, *names = sys.argv[1:]
    host, port, pid, keys, bundles = json.loads(document)
    target = Target((host, port), pid, Path(keys), Path(bundles))
    encode_costly_images()
    print("ready", flush=True)
    print(json.dumps(asyncio.run(attack(target, float(seconds), names or list(ATTACKS)))))


if __name__ == "__main__":
    main()

"""What goes wrong around a service: bad bundles, bad lines of keys, signals."""

import asyncio
import os
import shutil
import signal
import time
from collections import Counter

from tests.support.attacks.target import Attack, Target


async def bad_bundles(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 8: a bundle that cannot be opened appears in the folder, and goes."""
    folder = target.bundles / "broken"
    while time.monotonic() < end:
        folder.mkdir()
        (folder / "manifest.json").write_text('{"format_version": 1}')
        seen["appeared"] += 1
        await asyncio.sleep(min(3.0, max(0.0, end - time.monotonic())))
        shutil.rmtree(folder)
        await asyncio.sleep(1.0)


async def bad_lines_of_keys(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 12: the file of keys gets a line that is none."""
    good = target.keys.read_text()
    while time.monotonic() < end:
        for text in (good + "a line: that is no key at all\n", good):
            new = target.keys.with_suffix(".new")
            new.write_text(text)
            new.replace(target.keys)
            seen["changed"] += 1
            await asyncio.sleep(1.0)


async def hang_ups(target: Target, end: float, seen: Counter[str]) -> None:
    """Point 15: SIGHUP again and again."""
    while time.monotonic() < end:
        os.kill(target.pid, signal.SIGHUP)
        seen["sent"] += 1
        await asyncio.sleep(2.0)


ATTACKS: tuple[Attack, ...] = (bad_bundles, bad_lines_of_keys, hang_ups)

"""What operators do, or break, while the service runs."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from tailfuse_service.bundle import MANIFEST

from tests.support.attacks.attack import Record, Target, attack
from tests.support.bundles import tiny_graph, write_tiny_bundle
from tests.support.hostile_bundles import endless_graph

HOLD_S = 2.5  # the service looks twice a second, and opens what has not changed between two looks
NUMBER = count()


@cache
def make_graphs() -> dict[str, bytes]:
    whole = tiny_graph()
    return {"noise": os.urandom(1000), "half": whole[: len(whole) // 2], "endless": endless_graph()}


def write_bad_bundle(folder: Path, number: int) -> None:
    """Write one that cannot be used: by its graph, its manifest, or a file that is not the listed one."""
    kind = ("noise", "half", "endless", "manifest", "sum")[number % 5]
    write_tiny_bundle(folder, make_graphs().get(kind), version=f"bad-{number}")
    if kind == "manifest":
        (folder / MANIFEST).write_bytes(b'{"format": ')
    elif kind == "sum":
        (folder / "model.onnx").write_bytes(tiny_graph(1))


@attack("bad bundles", point=8, every_s=3.0)
async def add_bad_bundle(target: Target, record: Record) -> None:
    number = next(NUMBER)
    with tempfile.TemporaryDirectory(dir=target.models_folder.parent) as beside:
        write_bad_bundle(Path(beside) / "bundle", number)
        place = target.models_folder / f"bad-{number}"
        os.replace(Path(beside) / "bundle", place)
    record["bundles"] += 1
    try:
        await asyncio.sleep(HOLD_S)
    finally:
        shutil.rmtree(place)


@contextmanager
def replaced(path: Path, text: str) -> Iterator[None]:
    """Replace a file in one step, and put it back in one step."""
    whole = path.read_text()
    replace_text(path, text)
    try:
        yield
    finally:
        replace_text(path, whole)


def replace_text(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


@attack("a bad line in the file of keys", point=12, every_s=3.0)
async def break_key_file(target: Target, record: Record) -> None:
    with replaced(target.key_file, target.key_file.read_text() + "this: is no key\n"):
        record["bad lines"] += 1
        await asyncio.sleep(HOLD_S)


@attack("SIGHUPs", point=15, every_s=0.5)
async def hang_up(target: Target, record: Record) -> None:
    os.kill(target.pid, signal.SIGHUP)
    record["signals"] += 1

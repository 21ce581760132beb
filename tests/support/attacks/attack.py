"""An attack is a round that is repeated at a bounded rate; the registry holds all of them by name."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

ROUND_S = 20.0  # the service's own time-outs are longer; an attacker who waits for them attacks nobody


@dataclass(frozen=True, slots=True)
class Target:
    """The attacked service, and what its operator has on disk."""

    host: str
    port: int
    grpc_port: int | None
    pid: int
    key: str  # of a client; attackers share it
    models: str  # the folder of bundles that the service follows
    keys: str  # the file of keys
    source: str = "127.0.0.1"  # the attacker's own address

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def models_folder(self) -> Path:
        return Path(self.models)

    @property
    def key_file(self) -> Path:
        return Path(self.keys)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        return cls(**document)


Record = Counter[str]  # rounds, statuses, and connections that were closed or refused
Round = Callable[[Target, Record], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One round of it begins every `every_s` seconds at most, in `n_callers` places at once."""

    name: str
    point: int  # the number of the fault in the list that the soak reports
    round: Round
    every_s: float
    n_callers: int
    prepare: Callable[[], object]  # makes what is sent, before the time begins


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str, *, point: int, every_s: float, n_callers: int = 1,
    prepare: Callable[[], object] = lambda: None,
) -> Callable[[Round], Round]:  # fmt: skip
    """Register a round under a name."""

    def register(each: Round) -> Round:
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(name, point, each, every_s, n_callers, prepare)
        return each

    return register


async def repeat(each: Attack, target: Target, record: Record, end: float) -> None:
    """Repeat the round until `end` by the monotonic clock. A connection that breaks ends a round only."""
    while (begin := time.monotonic()) < end:
        try:
            async with asyncio.timeout(min(ROUND_S, end - begin)):
                await each.round(target, record)
            record["rounds"] += 1
        except TimeoutError:
            record["rounds cut short"] += 1
        except (OSError, asyncio.IncompleteReadError):
            record["connections broken"] += 1
        await asyncio.sleep(max(0.0, min(begin + each.every_s, end) - time.monotonic()))


async def run_attacks(names: Iterable[str], target: Target, seconds: float) -> dict[str, Record]:
    """Run these attacks at once, each from an address of its own. Return what each did and got."""
    end = time.monotonic() + seconds
    numbers = {name: number for number, name in enumerate(ATTACKS, 1)}
    records = {name: Record() for name in names}
    async with asyncio.TaskGroup() as group:
        for name, record in records.items():
            own = replace(target, source=f"127.0.2.{numbers[name]}")
            for _ in range(ATTACKS[name].n_callers):
                group.create_task(repeat(ATTACKS[name], own, record, end))
    return records

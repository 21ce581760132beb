"""Honest callers, who know the answer to each of their questions.

Each is a coroutine on one connection; what they meet is written into one tally.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json
from tests.support.hostile.corpus import corpus
from tests.support.hostile.pictures import art, encode_file
from tests.support.hostile.request import Inputs
from tests.support.hostile.wire import post

TOLERANCE = 1e-5
OVERLOADED = (429, 503)
MAX_REMEMBERED = 256
CORPUS_PAUSE_S = 0.05
Address = tuple[str, int]


@dataclass(slots=True)
class Tally:
    """What all callers have met."""

    statuses: Counter[str] = field(default_factory=Counter)  # "honest 200"
    compared: int = 0  # answers to single samples
    worst: float = 0.0  # greatest difference from the runtime's own
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of each honest request, refusals and pauses included


@dataclass(frozen=True, slots=True)
class Expected:
    """The runtime's own answer to one sample."""

    probabilities: dict[str, float]
    modalities: dict[str, tuple[float, float]]  # weight and confidence of those present

    def difference(self, answer: dict[str, Any]) -> float:
        """The greatest one; infinite if the answer is of another shape."""
        present = {name: each for name, each in answer["modalities"].items() if each["present"]}
        if (
            answer["probabilities"].keys() != self.probabilities.keys()
            or present.keys() != self.modalities.keys()
        ):
            return float("inf")
        found = [
            *answer["probabilities"].items(),
            *((n, (m["weight"], m["confidence"])) for n, m in present.items()),
        ]
        known: dict[str, Any] = {**self.probabilities, **self.modalities}
        return max(float(np.abs(np.subtract(value, known[name])).max()) for name, value in found)


def compute_expected(bundle: Bundle, inputs: Inputs) -> Expected:
    output = bundle.run([bundle.sample(inputs)])
    present = bundle.collate([bundle.sample(inputs)]).presence[0]
    shares = zip(
        bundle.features, output.weights[0].tolist(), output.confidences[0].tolist(), present, strict=True
    )
    return Expected(
        dict(zip(bundle.manifest.class_names, output.probabilities[0].tolist(), strict=True)),
        {name: (weight, confidence) for name, weight, confidence, there in shares if there},
    )


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and for each of its samples the answer, or the slugs of the problem it may be."""

    data: bytes
    expected: Sequence[Expected | None]
    slugs: tuple[str, ...] = ()
    right: set[bytes] = field(
        default_factory=set
    )  # bodies that were compared; a caller's own time is precious

    def check(self, status: int, body: bytes, tally: Tally) -> None:
        if status == 200 and body in self.right:
            tally.compared += sum(expected is not None for expected in self.expected)
            return
        n_wrong = len(tally.wrong)
        self._compare(status, body, tally)
        if status == 200 and len(tally.wrong) == n_wrong and len(self.right) < MAX_REMEMBERED:
            self.right.add(body)

    def _compare(self, status: int, body: bytes, tally: Tally) -> None:
        document = json.loads(body)
        if status != 200:
            slug = document["type"].rpartition(":")[2]
            if slug not in self.slugs and status not in OVERLOADED:
                tally.wrong.append(f"{status} {slug} for {self.data[-80:]!r}")
            return
        results = document.get("results", [document])
        for result, expected in zip(results, self.expected, strict=True):
            if expected is None:
                if "type" not in result:
                    tally.wrong.append(f"an answer to what deserves none: {self.data[-80:]!r}")
                continue
            difference = expected.difference(result)
            tally.compared += 1
            tally.worst = max(tally.worst, difference)
            if difference > TOLERANCE:
                tally.wrong.append(f"off by {difference:.3g}: {self.data[-80:]!r}")


def honest_questions(bundle: Bundle, seed: int, **headers: str) -> list[Question]:
    """A caller's own: no two callers share an input, so that a swapped answer is noticed."""
    random = np.random.default_rng(seed)
    row = {"age": float(random.normal(50, 20)), "pulse": seed, "smoker": bool(seed % 2), "site": "back"}
    small = encode_file(art(seed))
    large = encode_file(art(seed).resize((160, 120)))  # long enough to be decoded in a thread
    asked: list[Inputs] = [
        {"clinical": row},
        {"image": small, "clinical": row},
        {"image": large, "notes": f"number {seed}"},
        {"image": small, "clinical": row, "notes": f"spot {seed}"},
    ]
    answers = [compute_expected(bundle, inputs) for inputs in asked]
    single = [
        Question(post(make_body(as_json(each)), **headers), [answer])
        for each, answer in zip(asked, answers, strict=True)
    ]
    items = [as_json(asked[1]), {"inputs": {"smell": seed}}, as_json(asked[3])]
    batch = Question(
        post(make_body({"items": items}), "/predict/batch", **headers), [answers[1], None, answers[3]]
    )
    return [*single, batch]


def hostile_questions(bundle: Bundle, **headers: str) -> list[Question]:
    """The corpus."""
    return [
        Question(
            post(request.body, content_type=request.content_type, **headers, **request.headers),
            [None if request.same_as is None else compute_expected(bundle, request.same_as)],
            request.slugs,
        )
        for request in corpus().values()
    ]


def make_body(document: Any) -> bytes:
    return json.dumps(document).encode()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> tuple[int, bytes]:
    """Status and body of the answer. Raises ConnectionError or IncompleteReadError if there is none."""
    writer.write(data)
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length)


async def be_honest(
    address: Address, questions: Sequence[Question], tally: Tally, end: float, source: str = "127.0.0.1"
) -> None:
    """One connection, kept open to the end: a break of it is a fault of the service."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
    at = 0
    try:
        begin = time.perf_counter()
        while time.monotonic() < end:
            question = questions[at % len(questions)]
            status, body = await ask(reader, writer, question.data)
            tally.statuses[f"honest {status}"] += 1
            if status in OVERLOADED:
                await asyncio.sleep(0.1)
                continue
            tally.seconds.append(time.perf_counter() - begin)
            question.check(status, body, tally)
            at += 1
            begin = time.perf_counter()
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        tally.wrong.append(f"an honest caller's connection broke: {error!r}")
    finally:
        writer.close()


async def ask_corpus(
    address: Address, questions: Sequence[Question], tally: Tally, end: float, source: str = "127.0.0.1"
) -> None:
    """Each on a connection of its own, since the service may close it; an answer must be the right one."""
    at = 0
    while time.monotonic() < end:
        question = questions[at % len(questions)]
        at += 1
        try:
            reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
            try:
                status, body = await ask(reader, writer, question.data)
            finally:
                writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            tally.statuses["corpus closed"] += 1
            continue
        tally.statuses[f"corpus {status}"] += 1
        question.check(status, body, tally)
        await asyncio.sleep(CORPUS_PAUSE_S)

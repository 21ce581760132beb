"""A shadow is asked what the stable version was, answers nobody, and what it says differently is counted."""

import asyncio
import os
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tailfuse_service.bundle import Batch, Bundle, Output, features_by_modality
from tailfuse_service.inference import shadow
from tailfuse_service.inference.shadow import LOWEST_PRIORITY, MAX_WAITING_SAMPLES, estimate_size
from tailfuse_service.metrics import Metrics
from tailfuse_service.modalities import TabularModality
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.settings import Settings
from tailfuse_service.settings.roles_file import Canary, Roles, Shadow

from tests.support.bundles import CLASSES, FakeRuntime

CLINICAL = {"age": 61, "pulse": 80, "smoker": False, "site": "face"}
BOTH: dict[str, Any] = {"clinical": CLINICAL, "notes": "a spot"}
NOTES: dict[str, Any] = {"notes": "a spot"}


def says(label: str) -> Callable[[Batch], Output]:
    """A runtime's answer: this label to everybody."""

    def get_output(batch: Batch) -> Output:
        output = FakeRuntime.evenly(batch)
        output.probabilities[:, CLASSES.index(label)] = 1.0
        return output

    return get_output


class Pair:
    """A stable version that says nv, and a shadow whose runs can be held."""

    def __init__(self, bundle: Bundle, path: Path, share: float = 1.0) -> None:
        self.stable, self.asked = FakeRuntime(), FakeRuntime()
        self.stable.get_output = says("nv")
        self.asked.get_output = says("nv")
        newer = bundle.manifest.model_copy(update={"version": "4"})
        self.metrics = Metrics()
        bundles = [
            replace(bundle, runtime=self.stable),
            replace(bundle, runtime=self.asked, manifest=newer, features=dict(bundle.features)),
        ]
        self.registry = ModelRegistry(bundles, Settings(bundle=path), self.metrics)
        self.registry.assign({"skin-lesions": Roles(shadow=Shadow(version="4", share=share))})

    async def predict(self, inputs: dict[str, Any]) -> None:
        """Ask, and see that the stable version has answered."""
        engine = self.registry.find()
        assert (await engine.submit(inputs, 0)).labels[0] == "nv"
        assert engine.manifest.version == "3"
        await asyncio.sleep(0)  # the shadow's turn comes after the answer's

    def outcomes(self, outcome: str) -> dict[str, float]:
        """How many samples, by subset."""
        return {
            labels[2]: numbers[0]
            for labels, numbers in self.metrics.totals().get("shadow_samples", {}).items()
            if labels[3] == outcome
        }

    def n_outcomes(self) -> float:
        return sum(numbers[0] for numbers in self.metrics.totals().get("shadow_samples", {}).values())

    def disagreements(self) -> dict[tuple[str, ...], float]:
        families = self.metrics.totals()
        return {
            labels[2:]: numbers[0] for labels, numbers in families.get("shadow_disagreements", {}).items()
        }

    async def compared(self, n: int) -> None:
        async with asyncio.timeout(30):
            while self.n_outcomes() < n:
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shadow that waits for nothing, and has its share of a busy machine: tests wait for its counts."""
    monkeypatch.setattr(shadow, "GATHER_S", 0.0)
    monkeypatch.setattr(shadow, "REST_FACTOR", 0.0)
    monkeypatch.setattr(shadow, "LOWEST_PRIORITY", 0)


@pytest.fixture
def pair(bundle: Bundle, tiny_bundle: Path) -> Pair:
    return Pair(bundle, tiny_bundle)


def test_agreement_and_disagreement_are_counted_by_subset_and_by_both_labels(pair: Pair) -> None:
    async def scenario() -> None:
        for _ in range(3):
            await pair.predict(BOTH)
        await pair.compared(3)
        pair.asked.get_output = says("mel")
        for inputs in (BOTH, NOTES, NOTES):
            await pair.predict(inputs)
        await pair.compared(6)
        assert pair.outcomes("agree") == {"clinical+notes": 3}
        assert pair.outcomes("disagree") == {"clinical+notes": 1, "notes": 2}
        assert pair.disagreements() == {("nv", "mel"): 3}
        await pair.registry.close()

    asyncio.run(scenario())


def test_items_of_a_batch_are_asked_too_but_for_those_that_had_no_answer(pair: Pair) -> None:
    async def scenario() -> None:
        pair.asked.get_output = says("bkl")
        predictions = await pair.registry.find().predict_all([BOTH, {"smell": 1}, NOTES])
        assert [isinstance(each, Exception) for each in predictions] == [False, True, False]
        await pair.compared(2)
        assert pair.outcomes("disagree") == {"clinical+notes": 1, "notes": 1}
        assert pair.disagreements() == {("nv", "bkl"): 2}
        await pair.registry.close()

    asyncio.run(scenario())


def test_nobody_waits_for_a_shadow_that_is_held(pair: Pair) -> None:
    async def scenario() -> None:
        pair.asked.hold()
        await pair.predict(BOTH)
        await asyncio.to_thread(pair.asked.begun.wait, 30)
        for _ in range(20):
            await pair.predict(NOTES)
        assert pair.n_outcomes() == 0
        pair.asked.release()
        await pair.compared(21)
        assert pair.outcomes("agree") == {"clinical+notes": 1, "notes": 20}
        await pair.registry.close()

    asyncio.run(scenario())


def test_what_there_is_no_time_for_is_dropped_and_counted(pair: Pair) -> None:
    async def scenario() -> None:
        pair.asked.hold()
        await pair.predict(BOTH)
        await asyncio.to_thread(pair.asked.begun.wait, 30)
        for _ in range(0, MAX_WAITING_SAMPLES, 64):
            await pair.registry.find().predict_all([NOTES] * 64)
        for _ in range(3):
            await pair.predict(BOTH)
        assert pair.outcomes("dropped") == {"clinical+notes": 3}
        pair.asked.release()
        await pair.compared(MAX_WAITING_SAMPLES + 4)
        assert pair.outcomes("agree") == {"clinical+notes": 1, "notes": MAX_WAITING_SAMPLES}
        await pair.registry.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("inputs", [{"notes": "x" * 4000}, {"clinical": [50, 70, True, "x" * 4000]}])
def test_a_few_large_samples_fill_its_memory(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, inputs: dict[str, Any]
) -> None:
    monkeypatch.setattr(shadow, "MAX_WAITING_BYTES", 10_000)

    async def scenario() -> None:
        pair.asked.hold()
        await pair.predict(NOTES)
        await asyncio.to_thread(pair.asked.begun.wait, 30)
        for _ in range(3):
            await pair.predict(inputs)
        assert list(pair.outcomes("dropped").values()) == [1]
        pair.asked.release()
        await pair.compared(4)
        await pair.registry.close()

    asyncio.run(scenario())


def fails(batch: Batch) -> Output:
    raise RuntimeError("broken")


def no_number(batch: Batch) -> Output:
    output = FakeRuntime.evenly(batch)
    output.probabilities[:] = np.nan
    return output


@pytest.mark.parametrize("get_output", [fails, no_number])
def test_a_shadow_that_fails_harms_nobody_and_goes_on(pair: Pair, get_output: Any) -> None:
    async def scenario() -> None:
        pair.asked.get_output = get_output
        await pair.predict(BOTH)
        await pair.compared(1)
        assert pair.outcomes("failed") == {"clinical+notes": 1}
        pair.asked.get_output = says("nv")
        await pair.predict(BOTH)
        await pair.compared(2)
        assert pair.outcomes("agree") == {"clinical+notes": 1}
        await pair.registry.close()

    asyncio.run(scenario())


def test_a_shadow_that_cannot_read_the_inputs_has_failed_on_these_alone(
    bundle: Bundle, tiny_bundle: Path
) -> None:
    pair = Pair(bundle, tiny_bundle)
    clinical = bundle.manifest.modalities["clinical"]
    assert isinstance(clinical, TabularModality)
    without_a_column = clinical.model_copy(update={"columns": clinical.columns[1:]})
    asked = pair.registry.find("skin-lesions", "4").bundle
    asked.features.update(features_by_modality({"clinical": without_a_column}))

    async def scenario() -> None:
        await pair.registry.find().predict_all([BOTH, NOTES])
        await pair.compared(2)
        assert pair.outcomes("failed") == {"clinical+notes": 1}
        assert pair.outcomes("agree") == {"notes": 1}
        await pair.registry.close()

    asyncio.run(scenario())


def test_it_is_asked_its_share(bundle: Bundle, tiny_bundle: Path) -> None:
    random.seed(7)
    pair = Pair(bundle, tiny_bundle, share=0.25)

    async def scenario() -> None:
        for _ in range(8):
            await pair.registry.find().predict_all([NOTES] * 100)
        await pair.registry.close()

    asyncio.run(scenario())
    assert 120 < pair.n_outcomes() < 280  # 200, and six standard deviations


def test_what_waits_when_it_ends_is_dropped_and_what_runs_is_compared(pair: Pair) -> None:
    async def scenario() -> None:
        pair.asked.hold()
        await pair.predict(BOTH)
        await asyncio.to_thread(pair.asked.begun.wait, 30)
        await pair.predict(NOTES)
        await asyncio.sleep(0)
        stop = asyncio.create_task(pair.registry.close())
        await asyncio.sleep(0)
        pair.asked.release()
        await stop
        assert pair.outcomes("agree") == {"clinical+notes": 1}
        assert pair.outcomes("dropped") == {"notes": 1}

    asyncio.run(scenario())


def test_a_shadow_that_stays_is_not_begun_anew(pair: Pair) -> None:
    async def scenario() -> None:
        at_work = pair.registry.engine.shadow_runner
        assert at_work is not None
        pair.registry.replace([engine.bundle for engine in pair.registry.models["skin-lesions"]])
        assert pair.registry.engine.shadow_runner is at_work
        pair.registry.assign({"skin-lesions": Roles(shadow=Shadow(version="4", share=0.5))})
        assert pair.registry.engine.shadow_runner is not at_work
        pair.registry.assign({"skin-lesions": Roles(stable="3")})
        assert pair.registry.engine.shadow_runner is None
        pair.registry.assign({"skin-lesions": Roles(stable="3", canary=Canary(version="4", share=0.5))})
        assert pair.registry.engine.shadow_runner is None
        await pair.registry.close()

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux only")
def test_its_thread_gives_way_to_all_others(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "LOWEST_PRIORITY", LOWEST_PRIORITY)
    seen: list[int] = []

    def note(batch: Batch) -> Output:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return FakeRuntime.evenly(batch)

    async def scenario() -> None:
        pair.asked.get_output = note
        await pair.predict(BOTH)
        await pair.compared(1)
        await pair.registry.close()

    asyncio.run(scenario())
    assert seen == [LOWEST_PRIORITY] == [19]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < 19


def test_a_row_of_a_tensor_is_kept_without_the_others(pair: Pair) -> None:
    rows = np.frombuffer(bytes(8 * 1000), np.float64).reshape(100, 10)
    assert estimate_size(rows[0]) == estimate_size(memoryview(rows[0])) == 80

    async def scenario() -> None:
        runner = pair.registry.engine.shadow_runner
        assert runner is not None
        runner._enqueue({"ecg": rows[1], **NOTES}, await pair.registry.engine.submit(NOTES, 0))
        [kept] = runner._waiting
        assert kept.inputs["ecg"].base is None
        assert kept.inputs["ecg"].tolist() == rows[1].tolist()
        assert kept.inputs["notes"] == NOTES["notes"]
        assert kept.n_bytes == estimate_size(NOTES) + 80
        await pair.registry.close()

    asyncio.run(scenario())

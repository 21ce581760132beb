"""What is run and counted to explain answers, and beside whom. Runs are held, nothing depends on time."""

import asyncio
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tailfuse_service.bundle import Batch, Bundle, Output
from tailfuse_service.errors import InferenceFailed, Overloaded
from tailfuse_service.inference.engine import Engine
from tailfuse_service.inference.explanations import Explained, make_plan
from tailfuse_service.inference.run import run
from tailfuse_service.metrics import Metrics
from tailfuse_service.modalities.image.pixels import Mode, convert_mode
from tailfuse_service.settings import Settings

from tests.support.bundles import FakeRuntime
from tests.support.explained import CLINICAL, INPUTS, ask, with_picture
from tests.support.samples import LABELS, samples


@pytest.fixture
def inputs(picture: bytes) -> dict[str, Any]:
    """All three modalities."""
    return with_picture(picture)


def test_a_picture_is_decoded_once(
    client: TestClient, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def noting(picture: Image.Image, mode: Mode, *depth: Any) -> Image.Image:
        decoded.append(mode)
        return convert_mode(picture, mode, *depth)

    monkeypatch.setattr("tailfuse_service.modalities.image.features.convert_mode", noting)
    ask(client, inputs)
    assert len(decoded) == 1


def test_only_the_answer_itself_is_counted_as_a_sample(client: TestClient, inputs: dict[str, Any]) -> None:
    answer = ask(client, inputs)
    told = samples(client)

    def counted(name: str) -> dict[tuple[str, ...], float]:
        """What is not 0, by labels."""
        return {key[1:]: value for key, value in told.items() if key[0] == f"tailfuse_{name}" and value}

    assert counted("samples_total") == {("skin-lesions", "image+clinical+notes", "3"): 1}
    assert counted("predictions_total") == {(answer["label"], "skin-lesions", "3"): 1}
    assert sum(counted("probability_total").values()) == pytest.approx(1, abs=1e-5)
    assert set(counted("modality_present_total").values()) == {1}
    assert set(counted("fusion_weight_count").values()) == {1}
    assert counted("entropy_count") == {("skin-lesions", "3"): 1}
    assert counted("stage_seconds_count") == {("decode",): 1, ("queue",): 7, ("run",): 1, ("encode",): 1}
    assert counted("batch_size_sum") == {(): 7}


def test_beside_the_rows_of_an_explanation_samples_are_counted_as_they_are(bundle: Bundle) -> None:
    metrics = Metrics()
    plan = make_plan(bundle.sample(INPUTS), bundle.features)
    beside = bundle.sample({"notes": "a spot"})
    series = metrics.serve(bundle)
    predictions = run(bundle, series, Lock(), [*plan.rows()[1:], beside, plan.sample])
    weights = [
        metrics.registry.get_sample_value("tailfuse_fusion_weight_sum", {**LABELS, "modality": name})
        for name in bundle.features
    ]
    assert np.add(predictions[-2].weights, predictions[-1].weights) == pytest.approx(weights, abs=2e-6)
    run(bundle, series, Lock(), plan.rows()[1:])  # none of them is a caller's
    assert metrics.registry.get_sample_value("tailfuse_entropy_count", LABELS) == 2
    assert metrics.registry.get_sample_value("tailfuse_batch_size_sum") == 6


# --- beside others ---


@pytest.fixture
def held(bundle: Bundle, runtime: FakeRuntime) -> Bundle:
    """The tiny bundle, whose runs can be held."""
    runtime.get_output = bundle.runtime.run
    return replace(bundle, runtime=runtime)


def make_engine(bundle: Bundle, **settings: Any) -> Engine:
    return Engine(bundle, Settings(bundle=Path("tiny"), **settings), Metrics())


def test_an_explanation_lets_others_in_between(
    held: Bundle, runtime: FakeRuntime, inputs: dict[str, Any]
) -> None:
    async def scenario() -> None:
        engine = make_engine(held, max_batch_size=2)
        ended: list[str] = []
        runtime.hold()
        explained = engine.explain(inputs)
        await asyncio.to_thread(runtime.begun.wait, 30)
        assert len(engine) == 0  # of its seven rows two are in the run, and the others wait elsewhere
        other = engine.submit(INPUTS, 0)
        explained.add_done_callback(lambda _: ended.append("explained"))
        other.add_done_callback(lambda _: ended.append("other"))
        runtime.release()
        await asyncio.gather(explained, other)
        assert ended == ["other", "explained"]
        assert (max(runtime.sizes), sum(runtime.sizes)) == (2, 8)
        await engine.close()

    asyncio.run(scenario())


def test_a_queue_shorter_than_an_explanation_is_no_obstacle(
    held: Bundle, runtime: FakeRuntime, inputs: dict[str, Any]
) -> None:
    async def scenario() -> None:
        engine = make_engine(held, max_queue=1, max_items=1)
        assert list((await engine.explain(inputs)).explanation["contributions"]) == list(inputs)
        await engine.close()

    asyncio.run(scenario())
    assert runtime.sizes == [1] * 7


def test_a_full_queue_takes_no_explanation(held: Bundle, runtime: FakeRuntime) -> None:
    async def scenario() -> None:
        engine = make_engine(held, max_queue=2, max_items=2)
        runtime.hold()
        running = engine.submit(INPUTS, 0)
        await asyncio.to_thread(runtime.begun.wait, 30)
        waiting = [engine.submit(INPUTS, 0) for _ in range(2)]
        with pytest.raises(Overloaded):
            await engine.explain(INPUTS)
        with pytest.raises(Overloaded):
            await engine.explain_all([INPUTS])
        runtime.release()
        await asyncio.gather(running, *waiting)
        await engine.close()

    asyncio.run(scenario())


def test_an_engine_that_closes_finishes_what_it_explains(
    held: Bundle, runtime: FakeRuntime, inputs: dict[str, Any]
) -> None:
    async def scenario() -> None:
        engine = make_engine(held, max_batch_size=2)
        runtime.hold()
        explained = engine.explain(inputs)
        await asyncio.to_thread(runtime.begun.wait, 30)
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        runtime.release()
        assert (await explained).explanation["method"] == "exact"
        await closing

    asyncio.run(scenario())


def test_nothing_more_is_run_for_a_caller_who_has_gone(
    held: Bundle, runtime: FakeRuntime, inputs: dict[str, Any]
) -> None:
    async def scenario() -> None:
        engine = make_engine(held, max_batch_size=2)
        runtime.hold()
        explained = engine.explain(inputs)
        await asyncio.to_thread(runtime.begun.wait, 30)
        engine.withdraw(explained)
        other = engine.submit(INPUTS, 0)
        runtime.release()
        await other
        await engine.close()
        assert runtime.sizes == [2, 1]

    asyncio.run(scenario())


def test_a_row_that_fails_fails_the_explanation_and_no_neighbour(held: Bundle, runtime: FakeRuntime) -> None:
    answer = runtime.get_output

    def but_for_notes_alone(batch: Batch) -> Output:
        if (batch.presence == [False, False, True]).all(1).any():
            raise ValueError("no such row")
        return answer(batch)

    async def scenario() -> None:
        runtime.get_output = but_for_notes_alone
        engine = make_engine(held)
        items = [INPUTS, {"clinical": CLINICAL}]
        failed, explained = await engine.explain_all(items)
        assert isinstance(failed, InferenceFailed)
        assert isinstance(explained, Explained)
        with pytest.raises(InferenceFailed):
            await engine.explain(INPUTS)
        await engine.close()

    asyncio.run(scenario())


def test_a_shadow_is_asked_the_same_once(held: Bundle) -> None:
    asked: list[tuple[Any, Any]] = []

    class Watching:
        def watch_all(self, items: Any, predictions: Any) -> None:
            asked.extend(zip(items, predictions, strict=True))

    async def scenario() -> None:
        engine = make_engine(held)
        engine.shadow_runner = Watching()  # type: ignore[assignment]
        explained = await engine.explain(INPUTS)
        assert asked == [(INPUTS, explained.prediction)]
        await engine.close()

    asyncio.run(scenario())

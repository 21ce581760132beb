"""One bundle takes the place of another while requests come in: runs are held, nothing depends on time."""

import asyncio
import json
import weakref
from asyncio import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle, open_bundle
from tailfuse_service.bundle.answer import Prediction
from tailfuse_service.http.paths import PREDICT, match_path
from tailfuse_service.inference.inline import INLINE_BYTES
from tailfuse_service.metrics import Metrics
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.settings import Settings

from tests.support.bundles import FakeRuntime
from tests.support.takeover import BODY, INPUTS, LONG_TEXT, answer_across, own_answer, post

LONG = INLINE_BYTES + 1  # a request of so many bytes is read by a thread


@pytest.fixture(scope="module")
def new(next_bundle: Path) -> Bundle:
    return open_bundle(next_bundle)


@pytest.fixture
def old(bundle: Bundle, runtime: FakeRuntime) -> Bundle:
    """The tiny bundle, whose runs can be held."""
    runtime.get_output = bundle.runtime.run
    return replace(bundle, runtime=runtime)


@pytest.fixture
def settings(tiny_bundle: Path) -> Settings:
    return Settings(bundle=tiny_bundle)


def make_registry(bundle: Bundle, settings: Settings) -> ModelRegistry:
    return ModelRegistry([bundle], settings, Metrics())


def test_the_two_versions_answer_differently(bundle: Bundle, new: Bundle) -> None:
    assert own_answer(bundle) != own_answer(new)
    assert bundle.sample(INPUTS)["clinical"].tolist() != new.sample(INPUTS)["clinical"].tolist()


def test_what_was_taken_before_is_answered_by_the_bundle_that_it_was_read_for(
    bundle: Bundle, old: Bundle, new: Bundle, runtime: FakeRuntime, settings: Settings
) -> None:
    async def scenario() -> None:
        registry = make_registry(old, settings)
        runtime.hold()
        running = registry.engine.submit(INPUTS, 0)
        await asyncio.to_thread(runtime.begun.wait, 30)
        queued = [registry.engine.submit(INPUTS, 0) for _ in range(3)]
        batch = asyncio.create_task(registry.engine.predict_all([INPUTS] * 2))
        await asyncio.sleep(0)  # its items are with a reader
        unread = registry.engine.submit(INPUTS, LONG)  # not even that
        registry.replace([new])
        # The new one waits for nobody: the old one's run is still held.
        assert await registry.engine.submit(INPUTS, 0) == own_answer(new)
        assert await registry.engine.predict_all([INPUTS]) == [own_answer(new)]
        assert not running.done()
        runtime.release()
        pending: list[Future[Prediction]] = [running, *queued, unread]
        assert await asyncio.gather(*pending) == [own_answer(bundle)] * 5
        assert await batch == [own_answer(bundle)] * 2
        await registry.close()

    asyncio.run(scenario())


def test_a_stop_waits_for_the_old_bundle_too(
    bundle: Bundle, old: Bundle, new: Bundle, runtime: FakeRuntime, settings: Settings
) -> None:
    async def scenario() -> None:
        registry = make_registry(old, settings)
        runtime.hold()
        pending = registry.engine.submit(INPUTS, 0)
        await asyncio.to_thread(runtime.begun.wait, 30)
        registry.replace([new])
        stop = asyncio.create_task(registry.close())
        await asyncio.sleep(0)
        runtime.release()
        await stop
        assert pending.result() == own_answer(bundle)

    asyncio.run(scenario())


def test_a_caller_who_has_gone_leaves_the_old_bundles_queue(
    old: Bundle, new: Bundle, runtime: FakeRuntime, settings: Settings
) -> None:
    async def scenario() -> None:
        app = create_app(settings, old)
        runtime.hold()
        app.predict.submit(app.registry.engine, match_path(PREDICT), None, b"", BODY)
        await asyncio.to_thread(runtime.begun.wait, 30)
        gone = app.predict.submit(app.registry.engine, match_path(PREDICT), None, b"", BODY)
        app.registry.replace([new])
        assert app.metrics.registry.get_sample_value("tailfuse_queue_depth") == 1
        gone.withdraw()
        assert app.metrics.registry.get_sample_value("tailfuse_queue_depth") == 0
        runtime.release()
        await app.registry.close()
        assert runtime.sizes == [1]

    asyncio.run(scenario())


def test_an_old_bundle_is_let_go_of(bundle: Bundle, new: Bundle, settings: Settings) -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        held = weakref.ref(runtime)
        registry = make_registry(replace(bundle, runtime=runtime), settings)
        del runtime
        await registry.engine.submit(INPUTS, 0)
        await registry.engine.submit(INPUTS, LONG)
        registry.replace([new])
        while registry.n_draining:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert held() is None  # without the garbage collector
        await registry.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_request_that_arrives_across_the_change_is_the_new_bundles(
    bundle: Bundle, new: Bundle, settings: Settings, path: str
) -> None:
    async def scenario() -> None:
        app = create_app(settings, bundle)
        sent: list[Any] = []
        body = BODY if path == "/predict" else b'{"items": [%b, %b]}' % (BODY, BODY)
        halves = [body[:20], body[20:]]

        async def receive() -> Any:
            if len(halves) == 1:
                app.registry.replace([new])
            return {"type": "http.request", "body": halves.pop(0), "more_body": bool(halves)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
        await app(scope, receive, send)
        answer = json.loads(sent[1]["body"])
        for each in answer.get("results", [answer]):
            assert each["model"]["version"] == "4"
            assert list(each["probabilities"]) == own_answer(new).labels
            assert list(each["probabilities"].values()) == own_answer(new).probabilities
        await app.registry.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("query", [b"", b"explain=true"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_request_whose_body_is_being_read_is_the_old_bundles(
    bundle: Bundle, new: Bundle, settings: Settings, path: str, query: bytes
) -> None:
    sample = {"inputs": {"notes": LONG_TEXT}}
    body = json.dumps(sample if path == "/predict" else {"items": [sample, sample]}).encode()

    async def scenario() -> None:
        app = create_app(settings, bundle)
        replace_bundle = partial(app.registry.replace, [new])
        status, answer = await answer_across(replace_bundle, post(app, path, body, query))
        assert status == 200, answer
        assert {each["model"]["version"] for each in answer.get("results", [answer])} == {"3"}
        assert app.registry.find().manifest.version == "4"
        async with asyncio.timeout(30):
            while app.registry.n_draining:
                await asyncio.sleep(0)
        await app.registry.close()

    asyncio.run(scenario())


def test_a_stop_waits_for_a_request_whose_body_is_being_read(bundle: Bundle, settings: Settings) -> None:
    body = json.dumps({"inputs": {"notes": LONG_TEXT}}).encode()

    async def scenario() -> None:
        app = create_app(settings, bundle)
        stops: list[asyncio.Task[None]] = []

        def stop() -> None:
            stops.append(asyncio.create_task(app.registry.close()))

        status, answer = await answer_across(stop, post(app, "/predict", body))
        assert status == 200, answer
        async with asyncio.timeout(30):
            await asyncio.gather(*stops)

    asyncio.run(scenario())


def test_a_stop_does_not_wait_for_a_request_that_is_cancelled(bundle: Bundle, settings: Settings) -> None:
    async def scenario() -> None:
        registry = make_registry(bundle, settings)

        async def hang() -> None:
            with registry.find().keep_open():
                await asyncio.Event().wait()

        request = asyncio.create_task(hang())
        await asyncio.sleep(0)
        request.cancel()
        async with asyncio.timeout(30):
            await registry.close()

    asyncio.run(scenario())


def test_all_pages_show_the_new_bundle(make_client: Any, bundle: Bundle, new: Bundle) -> None:
    client: TestClient = make_client(bundle)
    app: Any = client.app

    def shown() -> tuple[Any, Any, set[str], list[dict[str, str]], dict[str, float]]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return (
            client.get("/model").json()["version"],
            client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]["200"]["content"][
                "application/json"
            ]["example"]["model"]["version"],
            {each.labels["label"] for each in samples if each.name == "tailfuse_predictions_total"},
            [each.labels for each in samples if each.name == "tailfuse_model_info"],
            {each.labels["version"]: each.value for each in samples if each.name == "tailfuse_samples_total"},
        )

    client.post("/predict", content=BODY)
    info = {
        "model": "skin-lesions", "version": "3", "runtime": "onnx", "device": "cpu", "precision": "float32",
        "role": "stable",
    }  # fmt: skip
    assert shown() == ("3", "3", {"nv", "mel", "bkl"}, [info], {"3": 1})
    assert client.portal is not None
    client.portal.call(app.registry.replace, [new])
    assert client.post("/predict", content=BODY).json()["model"]["version"] == "4"
    # What was counted of the old one stays.
    assert shown() == ("4", "4", {"nv", "mel", "bkl", "scc"}, [info | {"version": "4"}], {"3": 1, "4": 1})

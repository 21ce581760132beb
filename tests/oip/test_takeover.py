"""A bundle is replaced while a request of the protocol is under way: the old bundle answers it."""

import asyncio
import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle, open_bundle
from tailfuse_service.http.router import Router
from tailfuse_service.oip import coalescer
from tailfuse_service.oip.grpc_server import GrpcServer
from tailfuse_service.oip.messages import message
from tailfuse_service.settings import Settings

from tests.support.oip.tensors import INFER, MODEL
from tests.support.takeover import LONG_TEXT, answer_across, post, take_turns


@pytest.fixture(scope="module")
def new(next_bundle: Path) -> Bundle:
    return open_bundle(next_bundle)


@pytest.fixture
def settings(tiny_bundle: Path) -> Settings:
    return Settings(bundle=tiny_bundle, grpc_port=0)


def call(server: GrpcServer, text: str) -> Any:
    """A call whose message has arrived."""
    contents = {"bytes_contents": [text.encode()]}
    notes = {"name": "notes", "datatype": "BYTES", "shape": [1], "contents": contents}
    request = message("ModelInferRequest")(model_name=MODEL, inputs=[notes])
    return server._model_infer(request, {"headers": [], "request_id": "mine"})


async def check_closed(app: Router) -> None:
    """See that the old bundle is closed after its answer, and the new one is served."""
    assert app.registry.find().manifest.version == "4"
    async with asyncio.timeout(30):
        while app.registry.n_draining:
            await asyncio.sleep(0)
    await app.registry.close()


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_request_whose_body_is_being_read_is_the_old_bundles(
    bundle: Bundle, new: Bundle, settings: Settings, n_rows: int
) -> None:
    notes = {"name": "notes", "datatype": "BYTES", "shape": [n_rows], "data": [LONG_TEXT] * n_rows}
    body = json.dumps({"inputs": [notes]}).encode()

    async def scenario() -> None:
        app = create_app(settings, bundle)
        status, answer = await answer_across(partial(app.registry.replace, [new]), post(app, INFER, body))
        assert status == 200, answer
        assert answer["model_version"] == "3"
        await check_closed(app)

    asyncio.run(scenario())


def test_a_call_whose_message_is_being_read_is_the_old_bundles(
    bundle: Bundle, new: Bundle, settings: Settings
) -> None:
    async def scenario() -> None:
        app = create_app(settings, bundle)
        server = GrpcServer(app, settings, threading.Event())
        answer = await answer_across(partial(app.registry.replace, [new]), call(server, LONG_TEXT))
        assert answer.model_version == "3"
        await check_closed(app)

    asyncio.run(scenario())


def test_a_call_that_waits_for_others_of_its_burst_is_the_old_bundles(
    bundle: Bundle, new: Bundle, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescer, "BURST_GAP_S", float("inf"))
    monkeypatch.setattr(coalescer, "MAX_WAIT_S", 60)

    async def scenario() -> None:
        app = create_app(settings, bundle)
        server = GrpcServer(app, settings, threading.Event())
        answer = asyncio.create_task(call(server, "a spot"))
        await take_turns()
        app.registry.replace([new])
        await take_turns()
        server._coalescer._release()
        assert (await answer).model_version == "3"
        await check_closed(app)

    asyncio.run(scenario())

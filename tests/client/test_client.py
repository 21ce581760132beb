"""Both clients and a real service: what the bundle itself answers, in whatever form it is asked."""

import asyncio
import io
import pickle
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tailfuse_client import Answer, AsyncClient, Client, NoAnswer, Problem
from tailfuse_service.bundle import Bundle

from tests.support.keys import KEY
from tests.support.process import Service
from tests.support.script import ANSWER, Script, reply

pytestmark = pytest.mark.e2e

Ask = Callable[..., Any]
ROW = {"age": 61.0, "pulse": None, "smoker": True, "site": "back"}


@pytest.fixture
def asked(ask: Ask, service: Service) -> Ask:
    """As `ask`, of the service and with the key that it wants."""
    return lambda *arguments, **keywords: ask(service.url, *arguments, options={"key": KEY}, **keywords)


def assert_is_what_the_bundle_says(answer: Answer, bundle: Bundle, **inputs: Any) -> None:
    output = bundle.run([bundle.sample(inputs)])
    named = dict(zip(bundle.manifest.class_names, output.probabilities[0].tolist(), strict=True))
    assert answer.probabilities == pytest.approx(named, abs=1e-5)
    assert answer.label == max(named, key=lambda name: named[name])
    assert answer.probability == pytest.approx(max(named.values()), abs=1e-5)
    for m, (name, each) in enumerate(answer.modalities.items()):
        assert each.present == (name in inputs)
        assert each.weight == pytest.approx(output.weights[0, m], abs=1e-5)
        assert (each.confidence is None) == (name not in inputs)


def test_a_sample_is_answered_in_any_form(asked: Ask, bundle: Bundle, picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "lesion.png").write_bytes(picture)
    with Image.open(io.BytesIO(picture)) as opened:
        pixels = np.asarray(opened)
        for image in (picture, tmp_path / "lesion.png", opened, pixels):
            for clinical in (ROW, list(ROW.values()), pd.Series(ROW), pd.DataFrame([ROW])):
                answer = asked("predict", {"image": image}, clinical=clinical, notes=None)
                assert_is_what_the_bundle_says(answer, bundle, image=picture, clinical=ROW)


def test_a_model_is_asked_by_its_name_and_version(ask: Ask, service: Service, bundle: Bundle) -> None:
    name, version = bundle.manifest.of
    for named in ({"model": name}, {"model": name, "version": version}, {"model": name, "version": "latest"}):
        options = {"key": KEY, **named}
        assert_is_what_the_bundle_says(
            ask(service.url, "predict", clinical=ROW, options=options), bundle, clinical=ROW
        )
        (answer,) = ask(service.url, "predict_batch", [{"clinical": ROW}], options=options)
        assert_is_what_the_bundle_says(answer, bundle, clinical=ROW)
        assert ask(service.url, "model", options=options).version == version
        assert ask(service.url, "ready", options=options)
    for wrong in ({"model": "none"}, {"model": name, "version": "none"}):
        with pytest.raises(Problem) as refused:
            ask(service.url, "predict", clinical=ROW, options={"key": KEY, **wrong})
        assert refused.value.slug == "unknown-model"
    with pytest.raises(ValueError, match="version requires model"):
        ask(service.url, "ready", options={"version": "3"})


def test_every_subset_is_answered(asked: Ask, bundle: Bundle, picture: bytes) -> None:
    everything = {"image": picture, "clinical": ROW, "notes": {"title": "dark", "review": "spot"}}
    for names in (["image"], ["clinical"], ["notes"], ["image", "notes"], ["clinical", "notes"], everything):
        inputs = {name: everything[name] for name in names}
        assert_is_what_the_bundle_says(asked("predict", inputs), bundle, **inputs)


def test_a_batch_is_answered_in_order_and_a_bad_item_in_its_place(
    asked: Ask, bundle: Bundle, picture: bytes
) -> None:
    texts = [f"spot {i}" for i in range(10)]
    items: list[dict[str, Any]] = [{"notes": text} for text in texts]
    items[3] = {"clinical": {"age": "old"}}
    items[7] = {"image": picture, "notes": texts[7]}
    results = asked("predict_batch", iter(items), max_items=3)
    assert len(results) == 10
    for i, result in enumerate(results):
        if i == 3:
            assert isinstance(result, Problem)
            assert (result.slug, result.modality, result.column) == ("invalid-input", "clinical", "age")
            assert (result.status, result.received) == (422, '"old"')
        else:
            assert_is_what_the_bundle_says(result, bundle, **items[i])
    assert asked("predict_batch", []) == []


def test_an_item_longer_than_any_request_has_a_problem_in_its_place(asked: Ask) -> None:
    items = [{"notes": "spot"}, {"notes": "a" * (17 << 20)}, {"notes": "spot"}]
    results = asked("predict_batch", items)
    assert [getattr(each, "slug", None) for each in results] == [None, "payload-too-large", None]


def test_problems_are_raised_with_all_that_they_say(asked: Ask) -> None:
    with pytest.raises(Problem, match="has no column 'ages'") as caught:
        asked("predict", clinical={"ages": 1})
    problem = caught.value
    assert (problem.type, problem.status) == ("urn:tailfuse:problem:unknown-column", 422)
    assert (problem.modality, problem.column) == ("clinical", "ages")
    assert problem.expected == list(ROW)
    assert problem.request_id
    assert pickle.loads(pickle.dumps(problem)).document == problem.document


def test_an_infinity_is_the_problem_of_its_item_alone(asked: Ask) -> None:
    bad, good = asked("predict_batch", [{"clinical": {"age": float("inf")}}, {"notes": "spot"}])
    assert (bad.slug, bad.column) == ("not-finite", "age")
    assert good.label


def test_top_k_shortens_answers(asked: Ask) -> None:
    assert len(asked("predict", notes="spot", top_k=1).probabilities) == 1
    [result] = asked("predict_batch", [{"notes": "spot"}], top_k=2)
    assert len(result.probabilities) == 2


def test_an_answer_is_explained_if_that_is_asked(asked: Ask) -> None:
    assert asked("predict", notes="spot").explanation is None
    answer = asked("predict", notes="spot", clinical=ROW, explain=True)
    [again] = asked("predict_batch", [{"notes": "spot", "clinical": ROW}], explain=True)
    told = answer.explanation
    assert again.explanation == told
    assert told.prior + sum(told.contributions.values()) == pytest.approx(answer.probability, abs=1e-5)
    assert set(told.alone) == set(told.without) == {"clinical", "notes"}
    assert told.alone["notes"] == told.without["clinical"]
    assert (told.method, told.standard_errors) == ("exact", None)
    alone = asked("predict", notes="spot", explain=True)
    assert alone.explanation.without == {"notes": None}


def test_the_model_and_its_readiness(asked: Ask, bundle: Bundle) -> None:
    model = asked("model")
    assert (model.name, model.version, model.label) == ("skin-lesions", "3", "diagnosis")
    assert [each.name for each in model.classes] == bundle.manifest.class_names
    assert {name: each["kind"] for name, each in model.modalities.items()} == {
        "image": "image", "clinical": "tabular", "notes": "text",
    }  # fmt: skip
    assert asked("ready") is True


def test_without_its_key_nobody_is_answered(ask: Ask, service: Service) -> None:
    for key in (None, "another-key-of-somebody"):
        with pytest.raises(Problem) as caught:
            ask(service.url, "predict", notes="spot", options={"key": key})
        assert (caught.value.status, caught.value.slug) == (401, "unauthorized")


def test_a_batch_is_answered_while_it_is_being_made(service: Service) -> None:
    made: list[int] = []

    def items() -> Any:
        for i in range(6):
            made.append(i)
            yield {"notes": f"spot {i}"}

    with Client(service.url, key=KEY) as client:
        results = client.predict_batch(items(), max_items=2)
        next(results)
        assert made == [0, 1]
        assert len(list(results)) == 5


def test_no_more_requests_are_under_way_than_may_be(service: Service) -> None:
    made: list[int] = []

    def items() -> Any:
        for i in range(12):
            made.append(i)
            yield {"notes": f"spot {i}"}

    async def ask() -> None:
        async with AsyncClient(service.url, key=KEY) as client:
            results = client.predict_batch(items(), max_items=2, concurrency=2)
            await anext(results)
            assert made == [0, 1, 2, 3]
            assert len([each async for each in results]) == 11

    asyncio.run(ask())


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_that_allows_no_request_is_refused(concurrency: int) -> None:
    async def ask() -> None:
        async with AsyncClient("http://127.0.0.1:1") as client:
            await anext(client.predict_batch([{"notes": "spot"}], concurrency=concurrency))

    with pytest.raises(ValueError, match=f"concurrency must be at least 1, got {concurrency}"):
        asyncio.run(ask())


def test_a_batch_that_nobody_reads_on_leaves_nothing_behind(service: Service) -> None:
    async def ask() -> None:
        async with AsyncClient(service.url, key=KEY) as client:
            results = client.predict_batch(({"notes": "spot"} for _ in range(100)), max_items=1)
            await anext(results)
            assert isinstance(results, AsyncGenerator)
            await results.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(ask())


def test_threads_share_a_client(service: Service) -> None:
    with Client(service.url, key=KEY) as client, ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda i: client.predict(notes=f"spot {i}").request_id, range(40)))
    assert len(set(ids)) == 40


def test_members_that_are_new_are_left_alone(ask: Ask, script: Script) -> None:
    script.replies = [reply(200, {**ANSWER, "tomorrow": {"of": "the future"}})]
    assert ask(script.url, "predict", notes="spot").label == "a"


def test_too_few_results_are_no_answer(ask: Ask, script: Script) -> None:
    script.replies = [reply(200, {"results": [ANSWER]})]
    with pytest.raises(NoAnswer):
        ask(script.url, "predict_batch", [{"notes": "a"}, {"notes": "b"}])

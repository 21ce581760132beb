"""Whatever is sent gets the one answer that is right for it, and the next caller notices nothing."""

import json
from codecs import BOM_UTF8
from collections.abc import Callable

import httpx2
import pytest
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json, assert_answers, assert_problem
from tests.support.hostile.corpus import corpus
from tests.support.hostile.honest import HONEST
from tests.support.hostile.request import DEEP, JSON, SYNTAX, Request

pytestmark = pytest.mark.e2e

CORPUS = corpus()
LONGEST_PROBLEM = 4096  # bytes: a problem does not repeat what was sent
OF_THE_MACHINE = ("Traceback", "site-packages", "/home", "/tmp", "0x7f", ".py")


def check(request: Request, status: int, answer: str, bundle: Bundle) -> None:
    """The answer is one of the right ones."""
    if status == 200:
        assert request.same_as is not None, answer
        assert_answers(json.loads(answer), bundle, request.same_as)
        return
    problem = json.loads(answer)
    slug = problem["type"].rpartition(":")[2]
    assert slug in request.slugs, problem
    assert_problem(problem, slug, status)
    assert 400 <= status < 500
    assert len(answer) < LONGEST_PROBLEM
    assert not any(word in answer for word in OF_THE_MACHINE)


@pytest.mark.parametrize("request_", CORPUS.values(), ids=CORPUS)
def test_it_is_answered_as_it_should_be_and_nobody_else_is_harmed(
    request_: Request, client: httpx2.Client, bundle: Bundle, honest: Callable[[], None]
) -> None:
    response = client.post(
        "/predict",
        content=request_.body,
        headers={"content-type": request_.content_type, **request_.headers},
    )
    check(request_, response.status_code, response.text, bundle)
    kind = "application/json" if response.status_code == 200 else "application/problem+json"
    assert response.headers["content-type"] == kind
    honest()


# What makes the whole text unreadable is no item's alone.
ITEMS = {
    name: request
    for name, request in CORPUS.items()
    if request.content_type == JSON
    and not request.headers
    and not {*SYNTAX, *DEEP} & {*request.slugs}
    and not request.body.startswith(BOM_UTF8)  # which only a whole body may
}


@pytest.mark.parametrize("request_", ITEMS.values(), ids=ITEMS)
def test_as_an_item_of_a_batch_it_harms_neither_neighbour(
    request_: Request, client: httpx2.Client, bundle: Bundle
) -> None:
    good = json.dumps(as_json(HONEST)).encode()
    body = b'{"items": [%b, %b, %b]}' % (good, request_.body, good)
    response = client.post("/predict/batch", content=body, headers={"content-type": JSON})
    assert response.status_code == 200, response.text
    before, guilty, after = response.json()["results"]
    assert_answers(before, bundle, HONEST)
    assert_answers(after, bundle, HONEST)
    check(request_, guilty.get("status", 200), json.dumps(guilty), bundle)

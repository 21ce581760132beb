"""What is asked again, after which pause, and what is not. Time is the test's own."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from tailfuse_client import Client, NoAnswer, Problem
from tailfuse_client.retries import parse_retry_after

from tests.support.script import ANSWER, BREAK, GOOD, SILENT, Script, problem, reply

Ask = Callable[..., Any]


def test_a_busy_service_is_asked_again_after_what_it_says(
    ask: Ask, script: Script, slept: list[float]
) -> None:
    script.replies = [
        problem(429, "overloaded", retry_after="2"),
        problem(503, "not-ready"),
        problem(429, "overloaded", retry_after="1"),
        GOOD,
    ]
    assert ask(script.url, "predict", notes="spot").label == "a"
    assert slept == [2 + 0.05, 0.1, 1 + 0.2]
    assert len(set(script.bodies)) == 1


def test_pauses_double_up_to_the_longest(ask: Ask, script: Script, slept: list[float]) -> None:
    script.replies = [problem(503, "not-ready")] * 9
    with pytest.raises(Problem, match="not-ready"):
        ask(script.url, "model", options={"retries": 8})
    assert slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]


def test_a_broken_connection_is_made_again(
    ask: Ask, script: Script, slept: list[float], picture: bytes
) -> None:
    script.replies = [BREAK, BREAK, GOOD]
    assert ask(script.url, "predict", image=picture, notes="spot").label == "a"
    assert len(slept) == 2
    assert all(picture in body for body in script.bodies)


def test_an_answer_that_breaks_off_is_not_asked_for_again(
    ask: Ask, script: Script, slept: list[float]
) -> None:
    script.replies = [GOOD[:-5]]
    with pytest.raises(NoAnswer, match="broke during"):
        ask(script.url, "predict", notes="spot")
    assert slept == []


def test_where_nobody_listens_it_gives_up_after_some_tries(ask: Ask, slept: list[float]) -> None:
    with Script() as gone:
        url = gone.url
    with pytest.raises(NoAnswer, match=url):
        ask(url, "predict", notes="spot", options={"retries": 2})
    assert len(slept) == 2
    assert ask(url, "ready") is False
    assert len(slept) == 2


def test_no_try_begins_after_the_deadline(ask: Ask, script: Script, slept: list[float]) -> None:
    script.replies = [problem(429, "overloaded", retry_after="4")] * 3
    with pytest.raises(Problem, match="overloaded"):
        ask(script.url, "predict", notes="spot", options={"deadline_s": 10})
    assert slept == [4.05, 4.1]
    assert len(script.heads) == 3


def test_a_service_that_stays_silent_is_given_up(ask: Ask, script: Script, slept: list[float]) -> None:
    script.replies = [SILENT]
    with pytest.raises(NoAnswer, match="no answer in time"):
        ask(script.url, "predict", notes="spot", options={"timeout_s": 0.05})
    assert slept == []


@pytest.mark.parametrize("status", [400, 401, 413, 422, 500, 502, 504])
def test_any_other_problem_stands(ask: Ask, script: Script, slept: list[float], status: int) -> None:
    script.replies = [problem(status, "some", retry_after="1")]
    with pytest.raises(Problem) as caught:
        ask(script.url, "predict", notes="spot")
    assert (caught.value.status, caught.value.slug, slept) == (status, "some", [])


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("3", 3),
        ("Wed, 21 Oct 2026 07:28:10 GMT", 10),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0),
        ("soon", 0),
        ("-3", 0),
        ("inf", 0),
        ("", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_services_clock(told: str, seconds: float) -> None:
    headers = {"retry-after": told, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert parse_retry_after(httpx2.Response(429, headers=headers)) == seconds


def test_a_date_without_the_services_clock_is_measured_by_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailfuse_client.retries.time.time", lambda: 1792567680.0)
    headers = {"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}
    assert parse_retry_after(httpx2.Response(503, headers=headers)) == 10


@pytest.mark.parametrize("document", ["<html>hello</html>", [], {"label": "a"}, {"results": []}])
def test_what_is_no_tailfuse_is_told_so(ask: Ask, script: Script, document: Any) -> None:
    script.replies = [reply(200, document)] * 2
    with pytest.raises(NoAnswer, match="is not a tailfuse service"):
        ask(script.url, "predict", notes="spot")
    with pytest.raises(NoAnswer, match="is not a tailfuse service"):
        ask(script.url, "predict_batch", [{"notes": "spot"}])


def test_a_proxy_s_own_page_is_a_problem_too(ask: Ask, script: Script) -> None:
    script.replies = [reply(502, "<html>Bad gateway</html>")]
    with pytest.raises(Problem, match="Bad gateway") as caught:
        ask(script.url, "predict", notes="spot")
    assert (caught.value.type, caught.value.status) == ("about:blank", 502)


def test_every_request_has_the_key_and_the_headers(ask: Ask, script: Script) -> None:
    script.replies = [reply(200, {"results": [ANSWER]})] * 3
    options = {"key": "a-key", "headers": {"X-Team": "skin"}}
    items = [{"notes": "spot"}] * 3
    assert len(ask(script.url, "predict_batch", items, options=options, max_items=1)) == 3
    for head in script.heads:
        assert "authorization: bearer a-key" in head
        assert "x-team: skin" in head
        assert "user-agent: tailfuse-client/" in head


def test_connections_are_used_again(script: Script) -> None:
    script.replies = [GOOD] * 5
    with Client(script.url) as client:
        for _ in range(5):
            client.predict(notes="spot")
    assert script.n_connections == 1


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host:port", ""])
def test_what_is_no_url_is_refused_at_once(ask: Ask, url: str) -> None:
    with pytest.raises(ValueError, match=r"http|port"):
        ask(url, "ready")

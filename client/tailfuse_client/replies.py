"""Parse replies of the service into results or errors."""

from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from tailfuse_client.answers import Answer, parse_answer
from tailfuse_client.problems import NoAnswer, Problem
from tailfuse_client.retries import Outcome, TransportFailure

T = TypeVar("T")

Result = Answer | Problem


def parse_reply(outcome: Outcome, reader: Callable[[Any], T]) -> T:
    """Parse the document of a 200 with `reader`. Raises Problem or NoAnswer."""
    if isinstance(outcome, TransportFailure):
        raise NoAnswer(describe_failure(outcome)) from outcome.error
    if outcome.status_code != 200:
        raise make_problem(outcome)
    try:
        return reader(outcome.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoAnswer(f"{outcome.url}: the server there is not a tailfuse service") from error


def parse_results(outcome: Outcome, n_items: int) -> list[Result]:
    """Parse an answer or a problem for each item. Raises Problem or NoAnswer if the whole request failed.

    If a single item exceeds the maximum request size, the Problem is that of the item.
    """
    if n_items == 1 and isinstance(outcome, httpx2.Response) and outcome.status_code == 413:
        return [make_problem(outcome)]

    def results(document: Any) -> list[Result]:
        found = [parse_answer(each) if "label" in each else Problem(each) for each in document["results"]]
        if len(found) != n_items:
            raise ValueError(f"got {len(found)} results, expected {n_items}")
        return found

    return parse_reply(outcome, results)


def is_ready(outcome: Outcome) -> bool:
    """Return whether the outcome is a 200."""
    return isinstance(outcome, httpx2.Response) and outcome.status_code == 200


def make_problem(response: httpx2.Response) -> Problem:
    """Parse the service's problem, or make one from the answer of a proxy."""
    try:
        document = response.json()
        return Problem({"status": response.status_code, **document})
    except (ValueError, TypeError):
        title = response.reason_phrase or "Unknown status"
        return Problem({"status": response.status_code, "title": title, "detail": response.text[:500]})


def describe_failure(failure: TransportFailure) -> str:
    """Describe the failure in one sentence."""
    error = failure.error
    if isinstance(error, httpx2.TimeoutException):
        what = "no answer in time"
    else:
        what = (
            "the connection broke during the answer"
            if failure.begun
            else str(error) or "the connection broke"
        )
    return f"{error.request.url}: {what}"

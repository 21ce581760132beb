"""What has come back becomes what was asked for, or is raised."""

from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from tailfuse_client.answers import Answer, answer_of
from tailfuse_client.patience import Broken, Outcome
from tailfuse_client.problems import NoAnswer, Problem

T = TypeVar("T")

Result = Answer | Problem


def read(outcome: Outcome, reader: Callable[[Any], T]) -> T:
    """The document of a 200 as `reader` reads it. Raises Problem or NoAnswer."""
    if isinstance(outcome, Broken):
        raise NoAnswer(sentence(outcome)) from outcome.error
    if outcome.status_code != 200:
        raise problem_of(outcome)
    try:
        return reader(outcome.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoAnswer(f"{outcome.url}: what answers there is no tailfuse service") from error


def read_results(outcome: Outcome, n_items: int) -> list[Result]:
    """An answer or a problem for each item. Raises Problem or NoAnswer if there are none at all.

    A single item that is too long for any request is that item's problem.
    """
    if n_items == 1 and isinstance(outcome, httpx2.Response) and outcome.status_code == 413:
        return [problem_of(outcome)]

    def results(document: Any) -> list[Result]:
        found = [answer_of(each) if "label" in each else Problem(each) for each in document["results"]]
        if len(found) != n_items:
            raise ValueError(f"{len(found)} results, {n_items} expected")
        return found

    return read(outcome, results)


def is_ready(outcome: Outcome) -> bool:
    """Whether that was 200; anything else, and no answer, is no."""
    return isinstance(outcome, httpx2.Response) and outcome.status_code == 200


def problem_of(response: httpx2.Response) -> Problem:
    """The service's own, or one made of what a proxy in between has answered."""
    try:
        document = response.json()
        return Problem({"status": response.status_code, **document})
    except (ValueError, TypeError):
        title = response.reason_phrase or "Unknown status"
        return Problem({"status": response.status_code, "title": title, "detail": response.text[:500]})


def sentence(broken: Broken) -> str:
    """What has happened, in words."""
    error = broken.error
    if isinstance(error, httpx2.TimeoutException):
        what = "no answer in time"
    else:
        what = "the answer broke off" if broken.begun else str(error) or "the connection broke"
    return f"{error.request.url}: {what}"

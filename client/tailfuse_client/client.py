"""The synchronous client."""

from collections.abc import Iterable, Iterator, Mapping
from time import monotonic, sleep
from typing import Any, Self

import httpx2

from tailfuse_client.answers import Answer, ModelInfo, parse_answer, parse_model
from tailfuse_client.connection import make_arguments
from tailfuse_client.replies import Result, is_ready, parse_reply, parse_results
from tailfuse_client.requests import (
    MAX_ITEMS,
    MODEL,
    READY,
    Inputs,
    Request,
    make_batch_requests,
    make_params,
    make_path,
    make_predict_request,
)
from tailfuse_client.retries import DEADLINE_S, RETRIES, TIMEOUT_S, Outcome, RetryPolicy, TransportFailure


class Client:
    """Client of the service at `url`. It keeps connections open; threads may share it.

    Requests go to `model` and `version`; the default is the service's model and version. `key` is sent as
    `Authorization: Bearer`. The client retries a request that the service refused for now (429 or 503), or
    whose connection failed before an answer began: at most `retries` times, after the pause in Retry-After,
    and never after `deadline_s`. Raises ValueError for an invalid `url`, or a version without a model.
    """

    def __init__(
        self, url: str, *, model: str | None = None, version: str | None = None,
        key: str | None = None, headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S, deadline_s: float = DEADLINE_S, retries: int = RETRIES,
    ) -> None:  # fmt: skip
        self._path = make_path(model, version)
        self._policy = RetryPolicy(timeout_s, deadline_s, retries)
        self._http = httpx2.Client(**make_arguments(url, key, headers))

    def predict(
        self, inputs: Inputs | None = None, /, *, top_k: int | None = None, explain: bool = False,
        prior: str | None = None, **more: Any,
    ) -> Answer:  # fmt: skip
        """Predict one sample, given as a mapping by modality, as keywords, or both; None is absent.

        `top_k` keeps only the most probable classes; `explain` adds the contribution of each modality;
        `prior` (uniform, training or tempered) names the class shares that the answer holds for.
        Raises Problem, NoAnswer, and the errors of encode_value.
        """
        params = make_params(top_k, explain, prior)
        return parse_reply(
            self._exchange(make_predict_request({**(inputs or {}), **more}, params)), parse_answer
        )

    def predict_batch(
        self, items: Iterable[Inputs], *, top_k: int | None = None, explain: bool = False,
        prior: str | None = None, max_items: int = MAX_ITEMS,
    ) -> Iterator[Result]:  # fmt: skip
        """Yield an answer or a Problem for each item, in order; one request holds at most `max_items`.

        Raises Problem or NoAnswer if a whole request fails, and the errors of encode_value.
        """
        for request in make_batch_requests(items, make_params(top_k, explain, prior), max_items):
            yield from parse_results(self._exchange(request), request.n_items)

    def model(self) -> ModelInfo:
        """Return classes, modalities, input schema and metrics of the model. Raises Problem or NoAnswer."""
        return parse_reply(self._exchange(MODEL), parse_model)

    def ready(self) -> bool:
        """Return whether the service is reachable and ready. The request is not retried."""
        return is_ready(self._try(READY, self._policy.timeout_s))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, request: Request) -> Outcome:
        begun, tries = monotonic(), 0
        request = request.with_path(self._path)
        while True:
            outcome = self._try(request, self._policy.timeout_after(monotonic() - begun))
            tries += 1
            pause = self._policy.pause(outcome, tries, monotonic() - begun)
            if pause is None:
                return outcome
            sleep(pause)

    def _try(self, request: Request, timeout_s: float) -> Outcome:
        begun = False
        try:
            with self._http.stream(**request.arguments(), timeout=timeout_s) as response:
                begun = True
                response.read()
                return response
        except httpx2.RequestError as error:
            return TransportFailure(error, begun)

"""The synchronous client."""

from collections.abc import Iterable, Iterator, Mapping
from time import monotonic, sleep
from typing import Any, Self

import httpx2

from tailfuse_client.answers import Answer, ModelInfo, answer_of, model_of
from tailfuse_client.connection import connection
from tailfuse_client.patience import DEADLINE_S, RETRIES, TIMEOUT_S, Broken, Outcome, Patience
from tailfuse_client.replies import Result, is_ready, read, read_results
from tailfuse_client.requests import (
    MAX_ITEMS,
    MODEL,
    READY,
    Inputs,
    Request,
    batch_requests,
    params_of,
    path_of,
    predict_request,
)


class Client:
    """Asks the service at `url`, on connections that it keeps; any number of threads may use it.

    It asks the default model, or `model`, in the version that the service chooses or in `version`.
    `key` is sent as `Authorization: Bearer`. A request that was refused as too much (429) or too early (503),
    or whose connection failed before an answer began, is sent again: at most `retries` times, after what
    Retry-After says, and never after `deadline_s`. Raises ValueError if `url` is none, or for a version of no
    model.
    """

    def __init__(
        self, url: str, *, model: str | None = None, version: str | None = None,
        key: str | None = None, headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S, deadline_s: float = DEADLINE_S, retries: int = RETRIES,
    ) -> None:  # fmt: skip
        self._path = path_of(model, version)
        self._patience = Patience(timeout_s, deadline_s, retries)
        self._http = httpx2.Client(**connection(url, key, headers))

    def predict(
        self, inputs: Inputs | None = None, /, *, top_k: int | None = None, explain: bool = False, **more: Any
    ) -> Answer:
        """The answer for one sample, given as a mapping by modality, as keywords, or both; None is absent.

        `top_k` keeps that many of the most probable classes, `explain` says what each modality contributes.
        Raises Problem, NoAnswer, and as value_of does.
        """
        return read(
            self._exchange(predict_request({**(inputs or {}), **more}, params_of(top_k, explain))), answer_of
        )

    def predict_batch(
        self, items: Iterable[Inputs], *, top_k: int | None = None, explain: bool = False,
        max_items: int = MAX_ITEMS,
    ) -> Iterator[Result]:  # fmt: skip
        """An answer or a Problem for each item, in their order, as they come; `max_items` in one request.

        Raises Problem or NoAnswer if a whole request fails, and what value_of raises.
        """
        for request in batch_requests(items, params_of(top_k, explain), max_items):
            yield from read_results(self._exchange(request), request.n_items)

    def model(self) -> ModelInfo:
        """Classes, modalities, input schema and metrics of the loaded model. Raises Problem or NoAnswer."""
        return read(self._exchange(MODEL), model_of)

    def ready(self) -> bool:
        """Whether the service can be reached and says that it can answer; asked once."""
        return is_ready(self._try(READY, self._patience.timeout_s))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, request: Request) -> Outcome:
        begun, tries = monotonic(), 0
        request = request.under(self._path)
        while True:
            outcome = self._try(request, self._patience.timeout_after(monotonic() - begun))
            tries += 1
            pause = self._patience.pause(outcome, tries, monotonic() - begun)
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
            return Broken(error, begun)

"""The asynchronous client, for asyncio. A thread reads files, and encodes images and batches."""

from asyncio import Task, create_task, gather, sleep, to_thread
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from time import monotonic
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


class AsyncClient:
    """Asynchronous client with the arguments and methods of Client."""

    def __init__(
        self, url: str, *, model: str | None = None, version: str | None = None,
        key: str | None = None, headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S, deadline_s: float = DEADLINE_S, retries: int = RETRIES,
    ) -> None:  # fmt: skip
        self._path = make_path(model, version)
        self._policy = RetryPolicy(timeout_s, deadline_s, retries)
        self._http = httpx2.AsyncClient(**make_arguments(url, key, headers))

    async def predict(
        self, inputs: Inputs | None = None, /, *, top_k: int | None = None, explain: bool = False,
        prior: str | None = None, **more: Any,
    ) -> Answer:  # fmt: skip
        """Predict one sample, as Client.predict."""
        request = await to_thread(
            make_predict_request, {**(inputs or {}), **more}, make_params(top_k, explain, prior)
        )
        return parse_reply(await self._exchange(request), parse_answer)

    async def predict_batch(
        self, items: Iterable[Inputs], *, top_k: int | None = None, explain: bool = False,
        prior: str | None = None, max_items: int = MAX_ITEMS, concurrency: int = 4,
    ) -> AsyncIterator[Result]:  # fmt: skip
        """As Client.predict_batch, with up to `concurrency` requests at once. A thread iterates `items`."""
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        requests = make_batch_requests(items, make_params(top_k, explain, prior), max_items)
        pending: deque[Task[list[Result]]] = deque()
        try:
            while True:
                while len(pending) < concurrency and (request := await to_thread(next, requests, None)):
                    pending.append(create_task(self._results(request)))
                if not pending:
                    return
                for result in await pending.popleft():
                    yield result
        finally:
            for task in pending:
                task.cancel()
            await gather(*pending, return_exceptions=True)

    async def model(self) -> ModelInfo:
        """Return the loaded model, as Client.model."""
        return parse_reply(await self._exchange(MODEL), parse_model)

    async def ready(self) -> bool:
        """Return whether the service is ready, as Client.ready."""
        return is_ready(await self._try(READY, self._policy.timeout_s))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _results(self, request: Request) -> list[Result]:
        return parse_results(await self._exchange(request), request.n_items)

    async def _exchange(self, request: Request) -> Outcome:
        begun, tries = monotonic(), 0
        request = request.with_path(self._path)
        while True:
            outcome = await self._try(request, self._policy.timeout_after(monotonic() - begun))
            tries += 1
            pause = self._policy.pause(outcome, tries, monotonic() - begun)
            if pause is None:
                return outcome
            await sleep(pause)

    async def _try(self, request: Request, timeout_s: float) -> Outcome:
        begun = False
        try:
            async with self._http.stream(**request.arguments(), timeout=timeout_s) as response:
                begun = True
                await response.aread()
                return response
        except httpx2.RequestError as error:
            return TransportFailure(error, begun)

"""The asynchronous client, for asyncio. Files are read, and pictures and batches encoded, in a thread."""

from asyncio import Task, create_task, gather, sleep, to_thread
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from time import monotonic
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


class AsyncClient:
    """As Client, whose arguments and methods have the same meaning here."""

    def __init__(
        self, url: str, *, model: str | None = None, version: str | None = None,
        key: str | None = None, headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S, deadline_s: float = DEADLINE_S, retries: int = RETRIES,
    ) -> None:  # fmt: skip
        self._path = path_of(model, version)
        self._patience = Patience(timeout_s, deadline_s, retries)
        self._http = httpx2.AsyncClient(**connection(url, key, headers))

    async def predict(
        self, inputs: Inputs | None = None, /, *, top_k: int | None = None, explain: bool = False, **more: Any
    ) -> Answer:
        """As Client.predict."""
        request = await to_thread(predict_request, {**(inputs or {}), **more}, params_of(top_k, explain))
        return read(await self._exchange(request), answer_of)

    async def predict_batch(
        self, items: Iterable[Inputs], *, top_k: int | None = None, explain: bool = False,
        max_items: int = MAX_ITEMS, concurrency: int = 4,
    ) -> AsyncIterator[Result]:  # fmt: skip
        """As Client.predict_batch, with up to `concurrency` requests under way. A thread iterates `items`."""
        requests = batch_requests(items, params_of(top_k, explain), max_items)
        underway: deque[Task[list[Result]]] = deque()
        try:
            while True:
                while len(underway) < concurrency and (request := await to_thread(next, requests, None)):
                    underway.append(create_task(self._results(request)))
                if not underway:
                    return
                for result in await underway.popleft():
                    yield result
        finally:
            for task in underway:
                task.cancel()
            await gather(*underway, return_exceptions=True)

    async def model(self) -> ModelInfo:
        """As Client.model."""
        return read(await self._exchange(MODEL), model_of)

    async def ready(self) -> bool:
        """As Client.ready."""
        return is_ready(await self._try(READY, self._patience.timeout_s))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _results(self, request: Request) -> list[Result]:
        return read_results(await self._exchange(request), request.n_items)

    async def _exchange(self, request: Request) -> Outcome:
        begun, tries = monotonic(), 0
        request = request.under(self._path)
        while True:
            outcome = await self._try(request, self._patience.timeout_after(monotonic() - begun))
            tries += 1
            pause = self._patience.pause(outcome, tries, monotonic() - begun)
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
            return Broken(error, begun)

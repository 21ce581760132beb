"""Serve the bundle with LitServe: `python -m serving_bench.peers.litserve_app 8000`."""

import sys
from typing import Any, NamedTuple

import litserve
import orjson
from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from tailfuse_service.bundle import Sample, ServiceError

from serving_bench.peers.predicting import MAX_BATCH_SIZE, Answer, load_bundle, predict_requests


class ParsedRequest(NamedTuple):
    """The samples of one request; `many` marks a batch."""

    samples: list[Sample]
    many: bool


class Fused(litserve.LitAPI):  # type: ignore[misc]
    """The model as a LitServe API."""

    def setup(self, device: str) -> None:
        self.bundle = load_bundle()

    def decode_request(self, request: Request) -> ParsedRequest:
        body: Any = request  # annotated as a request, but LitServe passes its parsed body
        try:
            if "items" in body:
                return ParsedRequest(
                    [self.bundle.sample(item["inputs"]) for item in body["items"]], many=True
                )
            inputs = body["inputs"] if "inputs" in body else parse_form(body)
            return ParsedRequest([self.bundle.sample(inputs)], many=False)
        except ServiceError as error:
            raise HTTPException(error.status, error.detail) from error

    def batch(self, inputs: list[ParsedRequest]) -> list[ParsedRequest]:
        return inputs

    def predict(self, x: list[ParsedRequest]) -> list[list[Answer] | Answer]:
        answers = predict_requests(self.bundle, [asked.samples for asked in x])
        return [found if asked.many else found[0] for asked, found in zip(x, answers, strict=True)]

    def encode_response(self, output: list[Answer] | Answer) -> Answer:
        return {"results": output} if isinstance(output, list) else output


def parse_form(form: Any) -> dict[str, Any]:
    """Return the bytes of each file and the JSON of each field, by name."""
    return {
        name: part.file.read() if isinstance(part, UploadFile) else orjson.loads(part)
        for name, part in form.items()
    }


if __name__ == "__main__":
    api = Fused(max_batch_size=MAX_BATCH_SIZE, batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")

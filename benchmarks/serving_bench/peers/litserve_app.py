"""The bundle behind LitServe: `python -m serving_bench.peers.litserve_app 8000`."""

import sys
from typing import Any, NamedTuple

import litserve
import orjson
from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from tailfuse_service.bundle import Sample, ServiceError

from serving_bench.peers.answering import MAX_BATCH_SIZE, Answer, answers_by_request, bundle_to_serve


class Asked(NamedTuple):
    """The samples of one request; `many`: it was a batch."""

    samples: list[Sample]
    many: bool


class Fused(litserve.LitAPI):  # type: ignore[misc]
    """The service, in LitServe's words."""

    def setup(self, device: str) -> None:
        self.bundle = bundle_to_serve()

    def decode_request(self, request: Request) -> Asked:
        body: Any = request  # by its annotation it is one; what comes is its body, parsed
        try:
            if "items" in body:
                return Asked([self.bundle.sample(item["inputs"]) for item in body["items"]], many=True)
            inputs = body["inputs"] if "inputs" in body else form_inputs(body)
            return Asked([self.bundle.sample(inputs)], many=False)
        except ServiceError as error:
            raise HTTPException(error.status, error.detail) from error

    def batch(self, inputs: list[Asked]) -> list[Asked]:
        return inputs

    def predict(self, x: list[Asked]) -> list[list[Answer] | Answer]:
        answers = answers_by_request(self.bundle, [asked.samples for asked in x])
        return [found if asked.many else found[0] for asked, found in zip(x, answers, strict=True)]

    def encode_response(self, output: list[Answer] | Answer) -> Answer:
        return {"results": output} if isinstance(output, list) else output


def form_inputs(form: Any) -> dict[str, Any]:
    """A file's bytes, or the JSON of a field, by the name of its part."""
    return {
        name: part.file.read() if isinstance(part, UploadFile) else orjson.loads(part)
        for name, part in form.items()
    }


if __name__ == "__main__":
    api = Fused(max_batch_size=MAX_BATCH_SIZE, batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")

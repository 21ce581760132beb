"""Serve the bundle with mosec: `python -m serving_bench.peers.mosec_app --address 127.0.0.1 --port 8000`.

One worker decodes and runs; orjson replaces the standard library's JSON, as mosec's documentation suggests.
A worker receives the body only: its beginning identifies a form.
"""

from typing import Any, NamedTuple

import orjson
from mosec import Server, Worker
from mosec.errors import ValidationError
from python_multipart.multipart import FormParser
from tailfuse_service.bundle import Sample, ServiceError

from serving_bench.peers.predicting import MAX_BATCH_SIZE, Answer, load_bundle, predict_requests


class ParsedRequest(NamedTuple):
    """The samples of one request; `many` marks a batch."""

    samples: list[Sample]
    many: bool


class Fused(Worker):  # type: ignore[misc]
    """The model as a mosec worker."""

    def __init__(self) -> None:
        super().__init__()
        self.bundle = load_bundle()

    def deserialize(self, data: bytes) -> ParsedRequest:
        try:
            if data.startswith(b"--"):
                return ParsedRequest([self.bundle.sample(parse_form(data))], many=False)
            document = orjson.loads(data)
            if "items" in document:
                return ParsedRequest(
                    [self.bundle.sample(item["inputs"]) for item in document["items"]], many=True
                )
            return ParsedRequest([self.bundle.sample(document["inputs"])], many=False)
        except ServiceError as error:
            raise ValidationError(error.detail) from error

    def forward(self, data: list[ParsedRequest]) -> list[list[Answer] | Answer]:
        answers = predict_requests(self.bundle, [asked.samples for asked in data])
        return [found if asked.many else found[0] for asked, found in zip(data, answers, strict=True)]

    def serialize(self, data: list[Answer] | Answer) -> bytes:
        return orjson.dumps({"results": data} if isinstance(data, list) else data)


def parse_form(body: bytes) -> dict[str, Any]:
    """Return the bytes of each file and the JSON of each field, by name."""
    inputs: dict[str, Any] = {}

    def keep_field(field: Any) -> None:
        inputs[field.field_name.decode()] = orjson.loads(field.value)

    def keep_file(file: Any) -> None:
        file.file_object.seek(0)
        inputs[file.field_name.decode()] = file.file_object.read()

    boundary = body[2 : body.index(b"\r\n")]
    FormParser("multipart/form-data", keep_field, keep_file, boundary=boundary).write(body)
    return inputs


if __name__ == "__main__":
    server = Server()
    # 1 ms is the shortest wait for a batch that mosec accepts.
    server.append_worker(Fused, max_batch_size=MAX_BATCH_SIZE, max_wait_time=1, route="/predict")
    server.run()

"""The bundle behind mosec: `python -m serving_bench.peers.mosec_app --address 127.0.0.1 --port 8000`.

One worker that decodes and runs, orjson in place of the standard library's JSON, as mosec's documentation
suggests. A worker sees the body alone: a form is known by how it begins.
"""

from typing import Any, NamedTuple

import orjson
from mosec import Server, Worker
from mosec.errors import ValidationError
from python_multipart.multipart import FormParser
from tailfuse_service.bundle import Sample, ServiceError

from serving_bench.peers.answering import MAX_BATCH_SIZE, Answer, answers_by_request, bundle_to_serve


class Asked(NamedTuple):
    """The samples of one request; `many`: it was a batch."""

    samples: list[Sample]
    many: bool


class Fused(Worker):  # type: ignore[misc]
    """The service, in mosec's words."""

    def __init__(self) -> None:
        super().__init__()
        self.bundle = bundle_to_serve()

    def deserialize(self, data: bytes) -> Asked:
        try:
            if data.startswith(b"--"):
                return Asked([self.bundle.sample(form_inputs(data))], many=False)
            document = orjson.loads(data)
            if "items" in document:
                return Asked([self.bundle.sample(item["inputs"]) for item in document["items"]], many=True)
            return Asked([self.bundle.sample(document["inputs"])], many=False)
        except ServiceError as error:
            raise ValidationError(error.detail) from error

    def forward(self, data: list[Asked]) -> list[list[Answer] | Answer]:
        answers = answers_by_request(self.bundle, [asked.samples for asked in data])
        return [found if asked.many else found[0] for asked, found in zip(data, answers, strict=True)]

    def serialize(self, data: list[Answer] | Answer) -> bytes:
        return orjson.dumps({"results": data} if isinstance(data, list) else data)


def form_inputs(body: bytes) -> dict[str, Any]:
    """A file's bytes, or the JSON of a field, by the name of its part."""
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
    # 1 ms is the shortest wait for a batch to fill that it takes.
    server.append_worker(Fused, max_batch_size=MAX_BATCH_SIZE, max_wait_time=1, route="/predict")
    server.run()

"""The bundle behind BentoML: `bentoml serve serving_bench.peers.bentoml_app:Fused`.

It batches a method that takes one list: so the body is {"inputs": [sample, …]} for one sample and for many,
and there is no multipart.
"""

from typing import Any

import bentoml

from serving_bench.peers.answering import MAX_BATCH_SIZE, Answer, answers_of, bundle_to_serve


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Fused:
    """The service, in BentoML's words."""

    def __init__(self) -> None:
        self.bundle = bundle_to_serve()

    # It refuses what it expects to take longer than max_latency_ms.
    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=30_000)  # type: ignore[untyped-decorator]
    def predict(self, inputs: list[dict[str, Any]]) -> list[Answer]:
        return answers_of(self.bundle, [self.bundle.sample(each) for each in inputs])

"""Serve the bundle with BentoML: `bentoml serve serving_bench.peers.bentoml_app:Fused`.

BentoML batches methods that take one list. The body is therefore {"inputs": [sample, …]} for one sample
and for many, without multipart.
"""

from typing import Any

import bentoml

from serving_bench.peers.predicting import MAX_BATCH_SIZE, Answer, load_bundle, predict_samples


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Fused:
    """The model as a BentoML service."""

    def __init__(self) -> None:
        self.bundle = load_bundle()

    # BentoML refuses requests that it expects to take longer than max_latency_ms.
    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=30_000)  # type: ignore[untyped-decorator]
    def predict(self, inputs: list[dict[str, Any]]) -> list[Answer]:
        return predict_samples(self.bundle, [self.bundle.sample(each) for each in inputs])

"""What a bundle that takes the place of another is asked, and what it answers by itself."""

import json
from typing import Any

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.answer import Prediction, make_predictions

INPUTS: dict[str, Any] = {"clinical": {"age": 61, "pulse": 80, "smoker": False, "site": "face"}}
BODY = json.dumps({"inputs": INPUTS}).encode()


def own_answer(bundle: Bundle) -> Prediction:
    """What a bundle itself says about the inputs."""
    sample = bundle.sample(INPUTS)
    presence = bundle.collate([sample]).presence
    return make_predictions(bundle.run([sample]), presence, bundle.manifest.class_names)[0]

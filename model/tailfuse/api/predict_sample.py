"""Answer one sample as POST /predict does; the base install is enough."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tailfuse_service.bundle import Bundle, format_answer, make_predictions, open_bundle


def predict_sample(bundle: str | Path | Bundle, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to the inputs of one sample, by modality, as POST /predict gives it.

    Raises BundleError, InvalidInput.

    >>> answer = tailfuse.predict_sample("bundle", {"notes": "a dark spot on the back"})
    >>> answer["label"], answer["modalities"]["image"]
    ('nv', {'present': False, 'weight': 0.0, 'confidence': None})
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle), threads=0)
    batch = opened.collate([opened.sample(convert_scalars(dict(inputs)))])
    [prediction] = make_predictions(opened.answer(batch), batch.presence, opened.manifest.class_names)
    answer = format_answer(prediction, opened.manifest, request_id="", prior=opened.stated_prior)
    del answer["request_id"]  # there was no request
    return answer


def convert_scalars(value: Any) -> Any:
    """Return a value with NumPy's scalars, such as the cells of a frame's row, as Python's.

    >>> convert_scalars({"clinical": {"age": np.int64(61)}})
    {'clinical': {'age': 61}}
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {name: convert_scalars(each) for name, each in value.items()}
    return [convert_scalars(each) for each in value] if isinstance(value, list | tuple) else value

"""The examples of the document: of the quick-start's digits, or of whatever bundle is loaded."""

from typing import Any

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.answer import format_answer, make_predictions
from tailfuse_service.errors import ClientError

REQUEST_ID = "5f1c1d7ce2a04f6b"

# A handwritten 7 of UCI Multiple Features (R. Duin, CC BY 4.0): its image and its shape moments.
DIGIT: dict[str, Any] = {
    "image": "iVBORw0KGgoAAAANSUhEUgAAAA8AAAAQCAAAAADsPXrYAAAAYklEQVR42nWPvRGAMAiFv3hOQ+E0FE6TwmmYx8JpXmFBojF"
    "30nC8Hx7gGssXvlUQwEEFYAVJqtkkUn8NDgs3Gu+UDivtfX8A7Dx8o5nzf+YA2F74lBSDrErSOfktI/Ify6tvVacwdjh02mMAAAAASU"
    "VORK5CYII=",
    "shape": [
        *(
            0.1496,
            0.8355,
            33.22,
            88.18,
            84.27,
            116.8,
            127.0,
            0.1633,
            3.77,
            56.71,
            145.4,
            152.8,
            233.8,
            0.09561,
        ),
        *(
            10.14,
            54.15,
            104.1,
            52.84,
            16.15,
            0.5023,
            18.69,
            85.95,
            103.6,
            232.9,
            1.47,
            20.36,
            74.79,
            268.1,
            122.2,
        ),
        *(
            2.934,
            32.75,
            68.12,
            160.0,
            3.599,
            31.95,
            340.4,
            15.94,
            6.045,
            34.76,
            169.9,
            6.432,
            225.9,
            321.3,
            8.662,
        ),
        *(162.2, 65.75, 461.1, 0.0, 2.0, 0.0, 158.0, 1.694, 6277.0),
    ],
}
# How an answer looks with top_k=3; the numbers are no model's.
DIGIT_ANSWER = {
    "request_id": REQUEST_ID,
    "model": {"name": "digits", "version": "1"},
    "label": "7",
    "probability": 0.981204,
    "probabilities": {"7": 0.981204, "1": 0.010377, "9": 0.008419},
    "modalities": {
        "image": {"present": True, "weight": 0.741, "confidence": 0.98},
        "fourier": {"present": False, "weight": 0.0, "confidence": None},
        "shape": {"present": True, "weight": 0.259, "confidence": 0.87},
    },
}


def list_rows(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the inputs of test rows that the bundle carries; one of plausible values if it has none.

    A row that the limits of this service refuse is left out.
    """
    rows = [row for row in bundle.manifest.examples if is_accepted(bundle, row)]
    return rows or [{name: modality.example() for name, modality in bundle.manifest.modalities.items()}]


def is_accepted(bundle: Bundle, inputs: dict[str, Any]) -> bool:
    """Return whether a request with these inputs is answered."""
    try:
        bundle.sample(inputs)
    except ClientError:
        return False
    return True


def example_rows(bundle: Bundle | None) -> list[dict[str, Any]]:
    """Return the inputs of some samples, one with the most modalities first."""
    return [DIGIT] if bundle is None else list_rows(bundle)


def example_requests(bundle: Bundle | None) -> dict[str, Any]:
    """Return OpenAPI's examples of a request: all modalities, each alone, and further rows."""
    first, *others = example_rows(bundle)
    examples = {"everything": first}
    if len(first) > 1:
        examples |= {f"{name} alone": {name: raw} for name, raw in first.items()}
    examples |= {f"row {number}": row for number, row in enumerate(others, 2)}
    return {name: {"value": {"inputs": inputs}} for name, inputs in examples.items()}


def example_batch(bundle: Bundle | None) -> dict[str, Any]:
    """Return the example of a batch: some rows, or the modalities of a single one."""
    first, *others = example_rows(bundle)
    items = [first, *others] if others else [{name: raw} for name, raw in first.items()]
    return {"items": [{"inputs": inputs} for inputs in items]}


def example_answer(bundle: Bundle | None) -> dict[str, Any]:
    """Return the answer to the first example, by the bundle itself if there is one."""
    if bundle is None:
        return DIGIT_ANSWER
    batch = bundle.collate([bundle.sample(list_rows(bundle)[0])])
    output = bundle.answer(batch)
    (prediction,) = make_predictions(output, batch.presence, bundle.manifest.class_names)
    return format_answer(prediction, bundle.manifest, request_id=REQUEST_ID, prior=bundle.stated_prior)

"""Convert predictions to the protocol's output tensors."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from tailfuse_service.bundle import Manifest, Prediction
from tailfuse_service.errors import InvalidInput
from tailfuse_service.modalities.tensor import BYTES
from tailfuse_service.oip.tensors import encode_bytes

OUTPUTS = ("probabilities", "label", "weights", "confidences")


class Output(NamedTuple):
    """One output; `values` are its elements in row-major order: floats, or strings if they are BYTES."""

    name: str
    datatype: str
    shape: list[int]
    values: list[Any]

    def to_bytes(self) -> bytes:
        """The values as the protocol's binary extension has them."""
        return encode_bytes(self.values) if self.datatype == BYTES else np.array(self.values, "<f4").tobytes()


def make_outputs(
    predictions: Sequence[Prediction], manifest: Manifest, wanted: Sequence[str]
) -> list[Output]:
    """Return the outputs with these names. Probabilities are in the order of the manifest's classes."""
    make: dict[str, Callable[[], tuple[str, list[int], list[Any]]]] = {
        "probabilities": lambda: make_floats(
            [order_probabilities(each, manifest.class_names) for each in predictions]
        ),
        "label": lambda: (BYTES, [len(predictions)], [each.labels[0] for each in predictions]),
        "weights": lambda: make_floats([each.weights for each in predictions]),
        "confidences": lambda: make_floats([each.confidences for each in predictions]),
    }
    return [Output(name, *make[name]()) for name in wanted]


def make_floats(rows: Sequence[list[float]]) -> tuple[str, list[int], list[float]]:
    """Return the type, shape and values of a tensor of numbers."""
    return "FP32", [len(rows), len(rows[0])], list(chain.from_iterable(rows))


def order_probabilities(prediction: Prediction, class_names: Sequence[str]) -> list[float]:
    """Return the probabilities in the order of the classes."""
    by_name = dict(zip(prediction.labels, prediction.probabilities, strict=True))
    return [by_name[name] for name in class_names]


def check_output(name: Any, parameters: Any, seen: Sequence[str]) -> str:
    """Return the name of a requested output. Raises InvalidInput."""
    if name not in OUTPUTS:
        raise InvalidInput(
            f"unknown output {name!r:.80}; expected {', '.join(OUTPUTS)}",
            expected=list(OUTPUTS), received=f"{name!r:.80}",
        )  # fmt: skip
    if name in seen:
        raise InvalidInput(f"output '{name}' is asked for twice", received=name)
    for extension in ("classification", "shared_memory_region"):
        if extension in parameters:
            raise InvalidInput(
                f"output '{name}': the extension '{extension}' is not supported", received=extension
            )
    return str(name)

"""Tensors that ask the tiny bundle, and the rows that they hold."""

import struct
from collections.abc import Sequence
from typing import Any

from tailfuse_service.bundle import Bundle

from tests.support.process import Service

MODEL = "skin-lesions"


INFER = f"/v2/models/{MODEL}/infer"


CLINICAL = ("61", "70.5", "true", "back", "", "80", "", "face")  # (2, 4)


NOTES = ("an itching mole", "")


INPUTS = [
    {"name": "clinical", "datatype": "BYTES", "shape": [2, 4], "data": list(CLINICAL)},
    {"name": "notes", "datatype": "BYTES", "shape": [2], "data": list(NOTES)},
]


ROWS: list[dict[str, Any]] = [  # the same for POST /predict
    {"clinical": {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}, "notes": NOTES[0]},
    {"clinical": {"pulse": 80, "site": "face"}},
]


def packed(elements: Sequence[bytes]) -> bytes:
    """BYTES in the binary extension."""
    return b"".join(struct.pack("<I", len(each)) + each for each in elements)


def get_grpc_address(service: Service) -> str:
    return next(str(line["address"]) for line in service.log_lines() if line["message"] == "gRPC started")


def get_answers(bundle: Bundle) -> Any:
    """What the bundle itself answers for ROWS."""
    return bundle.run([bundle.sample(row) for row in ROWS])

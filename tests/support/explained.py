"""Explained predictions."""

import base64
from typing import Any

from starlette.testclient import TestClient

CLINICAL = {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}


INPUTS: dict[str, Any] = {"clinical": CLINICAL, "notes": "a brown, growing spot"}


def with_picture(picture: bytes) -> dict[str, Any]:
    return {"image": base64.b64encode(picture).decode(), **INPUTS}


def ask(client: TestClient, inputs: dict[str, Any], query: str = "?explain=true") -> Any:
    response = client.post(f"/predict{query}", json={"inputs": inputs})
    assert response.status_code == 200, response.text
    return response.json()

"""What an honest caller asks."""

from typing import Any

from tests.support.hostile.pictures import art, encode_file

HONEST: dict[str, Any] = {
    "image": encode_file(art(7)),
    "clinical": {"age": 61.5, "pulse": 80, "smoker": False, "site": "face"},
    "notes": "a spot of brown",
}
